"""Requirements raise errors with hints, and the doctor reports every part with them."""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from pydantic import SecretStr
from rich.console import Console

from logitrack_assets import sample
from logitrack_assets.commands.diagnostics import (
    diagnose_dagster_port,
    diagnose_lake,
    diagnose_service_port,
    diagnose_spark_slots,
)
from logitrack_assets.commands.doctor import print_diagnostics, run_diagnostics
from logitrack_assets.commands.requirements import require_disk, require_free_port, require_java, require_source
from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import FileLock
from logitrack_assets.home import load_or_create_instance_id
from logitrack_assets.lake import Lake
from logitrack_assets.settings import Settings, get_settings


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


@pytest.fixture
def respond() -> Iterator[Callable[[Mapping[str, Any]], int]]:
    """Return a function that starts a server with a JSON object by path, and returns its port."""
    servers: list[HTTPServer] = []

    def start(responses: Mapping[str, Any]) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(responses.get(self.path)).encode()
                self.send_response(200 if self.path in responses else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def isolated_environment() -> Iterator[None]:
    """Restore the environment and the cached settings after a test whose code exports Dagster's variables."""
    with patch.dict(os.environ):
        get_settings.cache_clear()
        yield
    get_settings.cache_clear()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield the port of a server that accepts connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield server.getsockname()[1]


def test_service_of_this_home_is_recognised_by_its_instance_id(tmp_path: Path, respond: Callable[..., int]) -> None:
    instance = load_or_create_instance_id(tmp_path)
    port = respond({"/health/live": {"status": "ok", "instance": instance}, "/health/ready": {"status": "ok"}})
    assert diagnose_service_port(Settings(home=tmp_path, service_port=port)).endswith(
        "is logitrack, running on this home"
    )


@pytest.mark.parametrize("live", [{"status": "ok", "instance": "0" * 32}, {"status": "ok"}, {"instance": None}])
def test_service_of_another_home_is_a_problem(tmp_path: Path, respond: Callable[..., int], live: dict) -> None:
    settings = Settings(home=tmp_path, service_port=respond({"/health/live": live, "/health/ready": {"status": "ok"}}))
    for _ in ("without an id of this home", "with one"):
        with pytest.raises(LogitrackError, match=f"is not the service of {tmp_path}.*LOGITRACK_SERVICE_PORT"):
            diagnose_service_port(settings)
        load_or_create_instance_id(tmp_path)


def test_degraded_service_is_a_problem_with_its_reasons(tmp_path: Path, respond: Callable[..., int]) -> None:
    ready = {"status": "degraded", "checks": {"database": {"status": "degraded", "reason": "PostgreSQL is away."}}}
    live = {"status": "ok", "instance": load_or_create_instance_id(tmp_path)}
    port = respond({"/health/live": live, "/health/ready": ready})
    with pytest.raises(LogitrackError, match=r"running, and degraded: PostgreSQL is away\. See .*service\.log"):
        diagnose_service_port(Settings(home=tmp_path, service_port=port))


def test_dagster_ui_is_recognised_by_the_home_of_its_instance(tmp_path: Path, respond: Callable[..., int]) -> None:
    info = {"data": {"instance": {"info": f"local_artifact_storage: {{base_dir: {tmp_path / 'dagster'}}}"}}}
    settings = Settings(home=tmp_path, dagster_port=respond({"/server_info": {}, "/graphql": info}))
    assert diagnose_dagster_port(settings).endswith("is logitrack, running on this home")
    with pytest.raises(LogitrackError, match=r"is not the Dagster UI of .*LOGITRACK_DAGSTER_PORT"):
        diagnose_dagster_port(settings.model_copy(update={"home": tmp_path / "other"}))


def test_silent_server_on_a_port_is_another_program(tmp_path: Path, silent_port: int) -> None:
    started = time.monotonic()
    with pytest.raises(LogitrackError, match=f"Port {silent_port} on 127.0.0.1 cannot be used"):
        diagnose_service_port(Settings(home=tmp_path, service_port=silent_port))
    assert time.monotonic() - started < 5


def test_source_is_the_one_of_up(tmp_path: Path, silent_port: int) -> None:
    assert require_source(Settings(tlc_url=None)) == f"12 files in {sample.folder()}, the packaged sample"
    assert require_source(Settings(tlc_url=sample.folder().as_uri())) == f"12 files in {sample.folder()}"
    with pytest.raises(LogitrackError, match=r"has no file of green, for example green_tripdata_2019-01\.parquet"):
        require_source(Settings(tlc_url=str(sample.folder()), fleets=("green",)))
    started = time.monotonic()
    with pytest.raises(LogitrackError, match="does not answer"):
        require_source(Settings(tlc_url=f"http://127.0.0.1:{silent_port}"))
    assert time.monotonic() - started < 8


def test_lake_names_its_newest_month_and_a_published_one_that_it_lacks(tmp_path: Path) -> None:
    settings, now = Settings(home=tmp_path, tlc_url=None), datetime(2020, 2, 15)
    with pytest.raises(LogitrackError, match="There is no month yet"):
        diagnose_lake(settings, now)
    for month in ("2019-11", "2019-12"):
        Lake(tmp_path).silver(month).mkdir(parents=True)
    assert diagnose_lake(settings, now) == "2 months, the newest is 2019-12, 2 months old"
    Lake(tmp_path).silver("2019-12").rmdir()
    with pytest.raises(LogitrackError, match=r"the newest is 2019-11, 3 months old; the source has 2019-12"):
        diagnose_lake(settings, now)


def test_spark_slots_without_a_run_are_a_problem(tmp_path: Path, database_url: str, isolated_environment: None) -> None:
    os.environ["LOGITRACK_DATABASE_URL"] = database_url
    settings = Settings(home=tmp_path, database_url=SecretStr(database_url), spark_runs=2)
    with FileLock(tmp_path / "spark.0.lock"):
        assert diagnose_spark_slots(settings) == "1 of 2 free, 0 runs in progress, 0 queued"
        with FileLock(tmp_path / "spark.1.lock"), pytest.raises(LogitrackError, match="2 of 2 are taken, but no run"):
            diagnose_spark_slots(settings)
    assert diagnose_spark_slots(settings).startswith("2 of 2 free")
