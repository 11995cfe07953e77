"""The lake: a version is never half there."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from logitrack_assets import lake as lake_module
from logitrack_assets.lake import MANIFEST, Lake, read_json, write_json


def staged(folder: Path, version: str) -> Path:
    for part in ("silver", "rejected"):
        (folder / part).mkdir(parents=True)
        (folder / part / "part-0.parquet").write_text(version)
        write_json(folder / part / MANIFEST, {"version": version})
    return folder


def places(lake: Lake) -> dict[str, Path]:
    return {"silver": lake.silver("2019-01"), "rejected": lake.rejected("2019-01")}


def versions(lake: Lake) -> list[str]:
    return [(folder / "part-0.parquet").read_text() for folder in places(lake).values()]


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "two renames"])
def test_a_new_version_takes_the_place_of_the_old_one(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(lake_module, "_exchange", lambda *_: False)
    lake = Lake(tmp_path)
    for version in ("old", "new"):
        lake.publish_together(staged(lake.staging("month-2019-01"), version), places(lake), version)
        assert versions(lake) == [version, version]
    assert not lake.staging("month-2019-01").exists()
    assert lake.silver_months() == ["2019-01"]
    assert lake.recover() == []


def test_an_exchange_that_was_cut_short_is_finished(tmp_path, monkeypatch):
    lake = Lake(tmp_path)
    lake.publish_together(staged(lake.staging("month-2019-01"), "old"), places(lake), "old")
    swaps: list[Path] = []
    swap = lake_module._swap

    def killed_at_the_second(one: Path, other: Path) -> None:
        if swaps:
            raise KeyboardInterrupt
        swaps.append(other)
        swap(one, other)

    monkeypatch.setattr(lake_module, "_swap", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        lake.publish_together(staged(lake.staging("month-2019-01"), "new"), places(lake), "new")
    assert sorted(versions(lake)) == ["new", "old"]
    monkeypatch.undo()
    assert lake.recover() == ["month-2019-01"]
    assert versions(lake) == ["new", "new"]


def test_two_renames_that_were_cut_short_give_the_old_version_back(tmp_path):
    lake = Lake(tmp_path)
    aside = lake.silver("2019-01").with_name("month=2019-01.replaced")
    aside.mkdir(parents=True)
    assert lake.recover() == ["month=2019-01"]
    assert lake.silver_months() == ["2019-01"]


def test_what_was_staged_and_never_committed_is_not_published(tmp_path):
    lake = Lake(tmp_path)
    staged(lake.staging("month-2019-01"), "half")
    assert lake.recover() == []
    assert lake.silver_months() == []


def test_a_killed_holder_lets_go_of_its_lock(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(f"""
            import time
            from pathlib import Path
            from logitrack_assets.lake import Lake
            with Lake(Path({str(tmp_path)!r})).lock("month-2019-01"):
                print("held", flush=True)
                time.sleep(60)
        """)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.communicate()
    with Lake(tmp_path).lock("month-2019-01"):
        pass


def test_a_json_file_is_complete_or_not_there(tmp_path):
    assert read_json(tmp_path / "none.json") is None
    with pytest.raises(TypeError):
        write_json(tmp_path / "half.json", {("no", "key"): 1})  # type: ignore[dict-item]
    assert read_json(tmp_path / "half.json") is None
