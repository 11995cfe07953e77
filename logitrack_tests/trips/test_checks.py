"""A check acts on the silver version that its run materialised, and on no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from logitrack_assets.lake import MANIFEST, Lake, VersionMismatchError
from logitrack_assets.trips.checks import find_problems

MONTH = "2019-01"


def _publish(lake: Lake, version: str) -> None:
    lake.silver(MONTH).mkdir(parents=True, exist_ok=True)
    (lake.silver(MONTH) / MANIFEST).write_text(json.dumps({"version": version}))


def _one_problem(_lake: Lake, month: str) -> Iterator[str]:
    yield f"{month}: a problem"


def test_materialised_version_is_checked(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    _publish(lake, "first")
    assert find_problems(_one_problem, lake, MONTH, "first") == ["2019-01: a problem"]


def test_version_in_the_lake_is_checked_when_the_run_materialised_none(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    _publish(lake, "first")
    assert find_problems(_one_problem, lake, MONTH, None) == ["2019-01: a problem"]


def test_version_of_another_run_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    _publish(lake, "second")
    with pytest.raises(VersionMismatchError, match="2019-01 has silver version second in the lake, not first"):
        find_problems(_one_problem, lake, MONTH, "first")


@pytest.mark.parametrize("materialized", ["first", None])
def test_version_replaced_during_the_check_is_refused(tmp_path: Path, materialized: str | None) -> None:
    lake = Lake(tmp_path)
    _publish(lake, "first")

    def replaced_meanwhile(lake: Lake, month: str) -> Iterator[str]:
        _publish(lake, "second")
        yield f"{month}: a problem of another version"

    with pytest.raises(VersionMismatchError, match="not first"):
        find_problems(replaced_meanwhile, lake, MONTH, materialized)
