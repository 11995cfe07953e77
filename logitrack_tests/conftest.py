"""Fixtures and scheduling for every test: one Spark session and one PostgreSQL a worker, folders of their own.

`make test` runs three workers (pytest-xdist). Tests that share something expensive stay together: those of one running
installation and those that need Spark by folder, all others by file.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from logitrack_tests.data import extracts_folder

REPOSITORY = Path(__file__).parent.parent
SHARED_FOLDERS = ("end_to_end/", "eta/training/", "trips/")
"""Folders whose tests share something expensive and therefore one worker: an installation, or Spark; longest first."""

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ["PYSPARK_PYTHON"] = sys.executable


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each run a temporary folder of its own.

    pytest's default is shared by all runs of a user, and every start closes it to others (mode 0700). The embedded
    PostgreSQL of another run, which runs as an ordinary user when started by root, then cannot create its files.
    """
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        config.option.basetemp = tempfile.mkdtemp(prefix="logitrack-tests-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))


def _group(path: str) -> str:
    """Return the group of a test file, given its path or a node id that begins with it."""
    file = path.split("::", 1)[0]
    return next((folder for folder in SHARED_FOLDERS if folder in file), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long groups first, so that all workers end at about the same time."""

    def rank(item: pytest.Item) -> int:
        group = _group(item.nodeid)
        return SHARED_FOLDERS.index(group) if group in SHARED_FOLDERS else len(SHARED_FOLDERS)

    items.sort(key=rank)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Send the tests of a group to one worker. pytest-xdist's own groups have no effect with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class GroupScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return GroupScheduling(config, log)


@pytest.fixture(scope="session")
def tlc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged sample of 2019 and the extracts in one folder, laid out as the TLC's."""
    from logitrack_assets.sample import folder as sample_folder

    base = tmp_path_factory.mktemp("tlc")
    for source in (sample_folder(), extracts_folder()):
        shutil.copytree(source / "trip-data", base / "trip-data", dirs_exist_ok=True)
    return base


@pytest.fixture(scope="session")
def whole_months() -> Path:
    """Whole months laid out as the TLC's, from the folder that LOGITRACK_TEST_TLC names; skips when it is unset."""
    if not (named := os.environ.get("LOGITRACK_TEST_TLC")):
        pytest.skip("set LOGITRACK_TEST_TLC to a folder laid out as the TLC's to run this")
    base = Path(named).resolve()
    assert (base / "trip-data").is_dir(), f"LOGITRACK_TEST_TLC: there is no folder {base / 'trip-data'}"
    return base


@pytest.fixture(scope="module", params=["tlc_folder", "whole_months"], ids=["extracts", "whole months"])
def published(request: pytest.FixtureRequest) -> Path:
    """Each of the two folders of trips in turn: for claims that must hold on extracts and on whole months."""
    folder: Path = request.getfixturevalue(request.param)
    return folder


@pytest.fixture(scope="session")
def spark():
    """One session for all tests; assets that ask their resource for Spark find this very one."""
    from pyspark.sql import SparkSession

    from logitrack_assets.commands.stack import FAST_START_OPTIONS
    from logitrack_assets.spark import spark_config

    config = spark_config(master="local[2]", driver_memory="2g", java_options=FAST_START_OPTIONS)
    builder = SparkSession.builder
    for key, value in config.items():
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
