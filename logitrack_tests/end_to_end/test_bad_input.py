"""What goes wrong on other people's machines: one clear sentence, a non-zero exit, and nothing lost."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from logitrack_tests.end_to_end.conftest import Installation


@pytest.fixture
def fresh(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


def _refused(installation: Installation, *arguments: str, says: str, **settings: str) -> None:
    said = installation.run(*arguments, **settings)
    assert said.returncode == 1, said.stdout
    assert says in said.stderr.replace("\n", " ")
    assert "Traceback" not in said.stderr
    assert installation.none_left()


def test_no_java(fresh: Installation, tmp_path: Path) -> None:
    _refused(fresh, "demo", says="Spark needs Java", JAVA_HOME=str(tmp_path))
    assert not (fresh.home / "lake").exists()


@pytest.mark.parametrize("which", ["SERVICE", "DAGSTER"])
def test_a_taken_port(fresh: Installation, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        setting = f"LOGITRACK_{which}_PORT"
        _refused(fresh, "up", says=f"Port {port} on 127.0.0.1 cannot be used", **{setting: str(port)})


def test_a_database_that_is_not_there(fresh: Installation) -> None:
    _refused(
        fresh,
        "materialize",
        "--months",
        "2019-01",
        says="127.0.0.1:9/none does not answer",
        LOGITRACK_DATABASE_URL="postgresql://me@127.0.0.1:9/none",
    )


def test_a_setting_that_does_not_fit(fresh: Installation) -> None:
    _refused(fresh, "demo", says="LOGITRACK_FLEETS", LOGITRACK_FLEETS="blue")


def test_no_month(fresh: Installation) -> None:
    _refused(fresh, "materialize", "--months", "2019-13", says="is no month")


def test_a_prediction_without_a_champion(fresh: Installation, tmp_path: Path) -> None:
    (tmp_path / "rides.csv").write_text("pickup_zone,dropoff_zone,pickup_at\n1,2,2020-01-01T00:00:00\n")
    _refused(fresh, "predict", str(tmp_path / "rides.csv"), "-o", str(tmp_path / "out.csv"), says="no champion")


def test_months_that_are_missing_broken_or_good(fresh: Installation, tlc_folder: Path, tmp_path: Path) -> None:
    """One range with a good month, a truncated one and one the source does not have: the good one arrives."""
    source = tmp_path / "source" / "trip-data"
    source.mkdir(parents=True)
    name = "yellow_tripdata_{}.parquet".format
    shutil.copy(tlc_folder / "trip-data" / name("2019-01"), source)
    whole = (tlc_folder / "trip-data" / name("2019-02")).read_bytes()
    (source / name("2019-02")).write_bytes(whole[: len(whole) // 2])
    said = fresh.run("materialize", "--months", "2019-01:2019-03", LOGITRACK_TLC_URL=str(source.parent))
    assert said.returncode == 1
    words = said.stderr.replace("\n", " ")
    assert "2019-02" in words
    assert "2019-03" in words
    assert "Traceback" not in words
    lake = fresh.home / "lake"
    assert [folder.name for folder in (lake / "silver").iterdir()] == ["month=2019-01"]
    assert not (lake / "bronze" / "yellow" / "2019-02").exists()


@pytest.mark.long  # three attempts with pauses between them, as on a bad night
def test_a_source_that_is_not_there(fresh: Installation) -> None:
    _refused(fresh, "materialize", "--months", "2019-01", says="source is down", LOGITRACK_TLC_URL="http://127.0.0.1:9")
