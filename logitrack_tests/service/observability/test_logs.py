"""Structured logs for machines and for terminals."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from logitrack_service.observability.logs import configure_logs


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Restore the configuration of structlog and of the root logger after a test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def written_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines that one structlog event with an exception and one `logging` record produce."""
    configure_logs("info")
    log = structlog.get_logger("test")
    try:
        raise ValueError("the cause")
    except ValueError:
        log.exception("model_not_loaded", version="v1", password="hunter2")
    logging.getLogger("some.library").warning("the disk is full")
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("restored_logging")
def test_logs_are_json_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]):
    events = [json.loads(line) for line in written_lines(capsys)]
    assert [event["event"] for event in events] == ["model_not_loaded", "the disk is full"]
    assert events[0]["version"] == "v1"
    assert events[0]["password"] == "[hidden]"
    assert "ValueError: the cause" in events[0]["exception"]
    assert events[1]["logger"] == "some.library"


@pytest.mark.usefixtures("restored_logging")
def test_logs_are_readable_text_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    text = "\n".join(written_lines(capsys))
    assert "model_not_loaded" in text
    assert "the disk is full" in text
    assert "ValueError" in text
    assert "hunter2" not in text
    assert not any(line.startswith("{") for line in text.splitlines())
