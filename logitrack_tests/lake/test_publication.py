"""Publication is atomic: readers find one complete version."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from logitrack_assets.files import write_json
from logitrack_assets.lake import MANIFEST, Lake, exchange, publication


def stage_version(folder: Path, version: str) -> Path:
    for part in ("silver", "rejected"):
        (folder / part).mkdir(parents=True)
        (folder / part / "part-0.parquet").write_text(version)
        write_json(folder / part / MANIFEST, {"version": version})
    return folder


def final_folders(lake: Lake) -> dict[str, Path]:
    return {"silver": lake.silver("2019-01"), "rejected": lake.rejected("2019-01")}


def published_versions(lake: Lake) -> list[str]:
    return [(folder / "part-0.parquet").read_text() for folder in final_folders(lake).values()]


@pytest.mark.parametrize("exchange_supported", [True, False], ids=["exchange", "renames"])
def test_publication_replaces_previous_version(tmp_path, monkeypatch, exchange_supported):
    if not exchange_supported:
        monkeypatch.setattr(exchange, "_exchange", lambda *_: False)
    lake = Lake(tmp_path)
    for version in ("old", "new"):
        lake.publish_together(stage_version(lake.staging("month-2019-01"), version), final_folders(lake), version)
        assert published_versions(lake) == [version, version]
    assert not lake.staging("month-2019-01").exists()
    assert lake.silver_months() == ["2019-01"]
    assert lake.recover() == []


def test_recover_finishes_interrupted_publication(tmp_path, monkeypatch):
    lake = Lake(tmp_path)
    lake.publish_together(stage_version(lake.staging("month-2019-01"), "old"), final_folders(lake), "old")
    swapped: list[Path] = []
    swap_folders = publication.swap_folders

    def killed_at_second_swap(staged: Path, final: Path) -> None:
        if swapped:
            raise KeyboardInterrupt
        swapped.append(final)
        swap_folders(staged, final)

    monkeypatch.setattr(publication, "swap_folders", killed_at_second_swap)
    with pytest.raises(KeyboardInterrupt):
        lake.publish_together(stage_version(lake.staging("month-2019-01"), "new"), final_folders(lake), "new")
    assert sorted(published_versions(lake)) == ["new", "old"]
    monkeypatch.undo()
    assert lake.recover() == ["month-2019-01"]
    assert published_versions(lake) == ["new", "new"]


def test_recover_restores_previous_version_after_interrupted_renames(tmp_path):
    lake = Lake(tmp_path)
    aside = lake.silver("2019-01").with_name("month=2019-01.replaced")
    aside.mkdir(parents=True)
    assert lake.recover() == ["month=2019-01"]
    assert lake.silver_months() == ["2019-01"]


def test_recover_ignores_uncommitted_staging(tmp_path):
    lake = Lake(tmp_path)
    stage_version(lake.staging("month-2019-01"), "half")
    assert lake.recover() == []
    assert lake.silver_months() == []


def test_killed_holder_releases_lock(tmp_path):
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
