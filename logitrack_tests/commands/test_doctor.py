"""The doctor: each trouble a person can have, and the mend."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from logitrack_assets.commands.doctor import require_disk, require_java, require_source, run_diagnostics
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings


def _fake_java(folder: Path, said: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o755)
    return folder


def test_java_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LogitrackError, match="Spark needs Java, and there is none .*apt-get install openjdk"):
        require_java()


@pytest.mark.parametrize(
    "said", ['openjdk version "11.0.2" 2019-01-15', 'java version "1.8.0_292"', "segmentation fault"]
)
def test_java_that_is_too_old_or_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path, said)))
    with pytest.raises(LogitrackError, match="Spark needs Java 17 or newer"):
        require_java()


@pytest.mark.parametrize("said", ['openjdk version "17.0.15" 2025-04-15', 'openjdk version "21" 2023-09-19'])
def test_java_that_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path, said)))
    assert "bin/java" in require_java()


def test_a_disk_without_room(tmp_path: Path) -> None:
    with pytest.raises(LogitrackError, match="are free at .* LOGITRACK_HOME"):
        require_disk(tmp_path / "not" / "there", at_least=2**60)


def test_a_source_that_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(LogitrackError, match="has no folder trip-data"):
        require_source(Settings(tlc_url=str(tmp_path)))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(LogitrackError, match="does not answer"):
            require_source(Settings(tlc_url=f"http://127.0.0.1:{nobody.getsockname()[1]}"))


def test_one_screen_names_every_part_and_hides_the_password(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path, tlc_url=str(tmp_path), database_url=SecretStr("postgresql://me:hush-hush@127.0.0.1:9/trips")
    )
    findings = {finding.part: finding for finding in run_diagnostics(settings)}
    assert {"Java", "memory", "disk", "database", "data source", "model"} <= set(findings)
    assert findings["Java"].ok
    for part in ("database", "data source", "model"):
        assert findings[part].hint, part
    assert "hush-hush" not in str(findings)
