"""`logitrack up` on a folder of green trips of 2020 to 2024 with gaps: it takes what the folder has, and serves it."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import httpx2
import pytest

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.partitions import month_range
from logitrack_tests.data import extracts_folder
from logitrack_tests.end_to_end.conftest import Installation

pytestmark = [pytest.mark.long, pytest.mark.timeout(1500)]


def test_newest_months_of_the_folder_become_a_champion(tmp_path: Path) -> None:
    source = tmp_path / "source" / "trip-data"
    source.mkdir(parents=True)
    for file in sorted((extracts_folder() / "trip-data").glob("green_tripdata_*.parquet")):
        shutil.copyfile(file, source / file.name)
    months = sorted(file.stem.removeprefix("green_tripdata_") for file in source.iterdir())
    assert (months[0], months[-1], len(months)) == ("2020-03", "2024-02", 12), "the extracts have gaps"

    installation = Installation(tmp_path / "home")
    up = installation.start("up", LOGITRACK_TLC_URL=str(source.parent), LOGITRACK_FLEETS="green")
    try:
        installation.wait_until_ready(up, seconds=1200)
        assert httpx2.get(f"{installation.service}/health/ready", timeout=10).json()["status"] == "ok"
        champion = ModelRegistry(installation.home / "models").champion()
        assert champion is not None
        nodes = installation.asset_nodes(months)
    finally:
        up.send_signal(signal.SIGINT)
        output, _ = up.communicate(timeout=180)
    assert "materialising 2020-03:2020-04,2023-01:2023-06,2023-08,2023-12:2024-02 from LOGITRACK_TLC_URL" in output
    for name, node in nodes.items():
        assert node["staleStatus"] == "FRESH", name
        if node["isPartitioned"]:
            assert node["partitionKeys"][: len(month_range("2020-03", "2024-02"))] == month_range("2020-03", "2024-02")
            assert node["staleStatusByPartition"] == ["FRESH"] * len(months), name
            assert node["partitionStats"] == {"numMaterialized": len(months), "numFailed": 0}, name
    assert up.returncode == 0
    assert installation.none_left()
