"""The version of a silver month."""

import shutil

import pytest

from logitrack_assets.lake import Lake, VersionMismatchError
from logitrack_tests.lake.test_publication import final_folders, stage_version


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, "old")
    return lake


def publish(lake: Lake, version: str) -> None:
    lake.publish_together(stage_version(lake.staging("month-2019-01"), version), final_folders(lake), version)


def test_silver_version_follows_publication(lake):
    assert lake.silver_version("2019-01") == "old"
    publish(lake, "new")
    assert lake.silver_version("2019-01") == "new"
    assert lake.silver_version("2019-02") is None


def test_pinned_accepts_unchanged_version(lake):
    with lake.pinned("2019-01", "old"):
        assert (lake.silver("2019-01") / "part-0.parquet").read_text() == "old"


def test_pinned_refuses_other_version_without_running_block(lake):
    with pytest.raises(VersionMismatchError, match="2019-01 has silver version old in the lake, not new"):  # noqa: SIM117
        with lake.pinned("2019-01", "new"):
            pytest.fail("the block ran")


def test_pinned_detects_replacement_during_block(lake):
    with pytest.raises(VersionMismatchError), lake.pinned("2019-01", "old"):
        publish(lake, "new")


def test_pinned_replaces_read_error_of_replaced_files(lake):
    def read_while_replaced() -> None:
        with lake.pinned("2019-01", "old"):
            shutil.rmtree(lake.silver("2019-01"))
            (lake.silver("2019-01") / "part-0.parquet").read_text()

    with pytest.raises(VersionMismatchError) as raised:
        read_while_replaced()
    assert isinstance(raised.value.__cause__, FileNotFoundError)


def test_pinned_keeps_error_of_unchanged_version(lake):
    with pytest.raises(ZeroDivisionError), lake.pinned("2019-01", "old"):
        raise ZeroDivisionError
