"""Bad input ends with a clear message, a non-zero exit code, no traceback and no process left."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from logitrack_tests.end_to_end.conftest import Installation


@pytest.fixture
def fresh(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


def _assert_refused(installation: Installation, *arguments: str, error: str, **settings: str) -> None:
    result = installation.run(*arguments, **settings)
    assert result.returncode == 1, result.stdout
    assert error in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
    assert installation.none_left()


def test_missing_java(fresh: Installation, tmp_path: Path) -> None:
    _assert_refused(fresh, "demo", error="Spark needs Java", JAVA_HOME=str(tmp_path))
    assert not (fresh.home / "lake").exists()


@pytest.mark.parametrize("which", ["SERVICE", "DAGSTER"])
def test_used_port(fresh: Installation, which: str) -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        setting = f"LOGITRACK_{which}_PORT"
        _assert_refused(fresh, "up", error=f"Port {port} on 127.0.0.1 cannot be used", **{setting: str(port)})


def test_unreachable_database(fresh: Installation) -> None:
    _assert_refused(
        fresh,
        "materialize",
        "--months",
        "2019-01",
        error="127.0.0.1:9/none does not answer",
        LOGITRACK_DATABASE_URL="postgresql://me@127.0.0.1:9/none",
    )


def test_invalid_setting(fresh: Installation) -> None:
    _assert_refused(fresh, "demo", error="LOGITRACK_FLEETS", LOGITRACK_FLEETS="blue")


def test_invalid_month(fresh: Installation) -> None:
    _assert_refused(fresh, "materialize", "--months", "2019-13", error="is no month")


def test_prediction_without_a_champion(fresh: Installation, tmp_path: Path) -> None:
    (tmp_path / "rides.csv").write_text("pickup_zone,dropoff_zone,pickup_at\n1,2,2020-01-01T00:00:00\n")
    _assert_refused(fresh, "predict", str(tmp_path / "rides.csv"), "-o", str(tmp_path / "out.csv"), error="no champion")


@pytest.mark.long  # `project/test_range_run.py` proves the same of the run; this is the command around it
def test_good_month_is_ingested_beside_broken_ones(fresh: Installation, tlc_folder: Path, tmp_path: Path) -> None:
    """A range has a good month, a truncated file and a month that the source does not have."""
    source = tmp_path / "source" / "trip-data"
    source.mkdir(parents=True)
    name = "yellow_tripdata_{}.parquet".format
    shutil.copy(tlc_folder / "trip-data" / name("2019-01"), source)
    whole = (tlc_folder / "trip-data" / name("2019-02")).read_bytes()
    (source / name("2019-02")).write_bytes(whole[: len(whole) // 2])
    result = fresh.run("materialize", "--months", "2019-01:2019-03", LOGITRACK_TLC_URL=str(source.parent))
    assert result.returncode == 1
    errors = result.stderr.replace("\n", " ")
    assert "2019-02" in errors
    assert "2019-03" in errors
    assert "Traceback" not in errors
    lake = fresh.home / "lake"
    assert [folder.name for folder in (lake / "silver").iterdir()] == ["month=2019-01"]
    assert not (lake / "bronze" / "yellow" / "2019-02").exists()


@pytest.mark.long  # three attempts with pauses between them
def test_unreachable_source(fresh: Installation) -> None:
    _assert_refused(
        fresh, "materialize", "--months", "2019-01", error="source is down", LOGITRACK_TLC_URL="http://127.0.0.1:9"
    )
