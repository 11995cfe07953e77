"""What every test may share: one Spark session, one PostgreSQL, the real trips."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

REPOSITORY = Path(__file__).parent.parent

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ["PYSPARK_PYTHON"] = sys.executable


@pytest.fixture(scope="session")
def tlc_folder() -> Path:
    """Real trip files laid out as the TLC publishes them, beside the repository."""
    folder = REPOSITORY.parent / "shared" / "tlc"
    assert (folder / "trip-data").is_dir(), f"the real trips are missing: {folder}"
    return folder


@pytest.fixture(scope="session")
def spark():
    """One session for all tests; assets that ask their resource for Spark find this very one."""
    from pyspark.sql import SparkSession

    from logitrack_assets.spark import spark_config

    builder = SparkSession.builder
    for key, value in spark_config(master="local[2]", driver_memory="2g").items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of one embedded PostgreSQL for all tests."""
    from logitrack_assets.database import database_url
    from logitrack_assets.settings import Settings

    return database_url(Settings(home=tmp_path_factory.mktemp("home"), database_url=None))


@pytest.fixture
def empty_database_url(postgres: str) -> Iterator[str]:
    """A database of the test's own, without any schema."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield make_url(postgres).set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))
    admin.dispose()


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """A database of the test's own, migrated."""
    from logitrack_assets.database import migrate

    migrate(empty_database_url)
    return empty_database_url
