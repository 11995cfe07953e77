"""Requirements raise errors with hints, and the doctor reports every part with them."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest
from pydantic import SecretStr
from rich.console import Console

from logitrack_assets.commands.doctor import print_diagnostics, run_diagnostics
from logitrack_assets.commands.requirements import require_disk, require_free_port, require_java, require_source
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings


def _fake_java(folder: Path, output: str) -> Path:
    java = folder / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text(f"#!/bin/sh\necho '{output}' >&2\n")
    java.chmod(0o755)
    return folder


def test_missing_java_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LogitrackError, match="Spark needs Java, and there is none .*apt-get install openjdk"):
        require_java()


@pytest.mark.parametrize(
    "output", ['openjdk version "11.0.2" 2019-01-15', 'java version "1.8.0_292"', "segmentation fault"]
)
def test_old_or_broken_java_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path, output)))
    with pytest.raises(LogitrackError, match="Spark needs Java 17 or newer"):
        require_java()


@pytest.mark.parametrize("output", ['openjdk version "17.0.15" 2025-04-15', 'openjdk version "21" 2023-09-19'])
def test_recent_java_is_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(_fake_java(tmp_path, output)))
    assert "bin/java" in require_java()


def test_full_disk_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogitrackError, match="are free at .* LOGITRACK_HOME"):
        require_disk(tmp_path / "not" / "there", min_free_bytes=2**60)


def test_unusable_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogitrackError, match="has no folder trip-data"):
        require_source(Settings(tlc_url=str(tmp_path)))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(LogitrackError, match="does not answer"):
            require_source(Settings(tlc_url=f"http://127.0.0.1:{closed.getsockname()[1]}"))


def test_used_port_is_an_error_that_names_its_setting() -> None:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        with pytest.raises(LogitrackError, match=f"Port {port} .* LOGITRACK_SERVICE_PORT"):
            require_free_port("127.0.0.1", port, "LOGITRACK_SERVICE_PORT")
    require_free_port("127.0.0.1", port, "LOGITRACK_SERVICE_PORT")


@pytest.fixture
def broken(tmp_path: Path) -> Settings:
    """Settings with an unreachable database, an unusable source and no model."""
    return Settings(
        home=tmp_path, tlc_url=str(tmp_path), database_url=SecretStr("postgresql://me:hush-hush@127.0.0.1:9/trips")
    )


def test_diagnostics_cover_every_part_and_mask_the_password(broken: Settings) -> None:
    diagnostics = {diagnostic.part: diagnostic for diagnostic in run_diagnostics(broken)}
    assert {"Java", "memory", "disk", "database", "data source", "model"} <= set(diagnostics)
    assert diagnostics["Java"].ok
    for part in ("database", "data source", "model"):
        assert not diagnostics[part].ok, part
        assert diagnostics[part].hint, part
    assert diagnostics["database"].fact.startswith(
        "PostgreSQL at postgresql://me:***@127.0.0.1:9/trips does not answer"
    )
    assert diagnostics["database"].hint == "Start it, or correct LOGITRACK_DATABASE_URL."
    assert "hush-hush" not in str(diagnostics)


def test_printed_diagnostics_have_a_row_per_part_and_a_hint_per_problem(broken: Settings) -> None:
    console = Console(record=True, width=300, file=io.StringIO())
    assert not print_diagnostics(broken, console)
    text = console.export_text()
    assert "✓ Java " in text
    assert "✗ data source " in text
    assert "→ Set LOGITRACK_TLC_URL to a folder laid out as the TLC's." in text
