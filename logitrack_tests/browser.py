"""Chromium for tests of web pages, driven by Playwright; tests are skipped where something is missing."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from logitrack_service.console.build import WEB
from logitrack_service.console.files import ConsoleFiles

AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1360, "height": 860}
TIMEOUT_MILLISECONDS = 30_000  # two workers and a browser share two cores
FLAGS = (
    "--no-sandbox",  # Chromium as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start the machine's Chromium; yield Playwright's browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    if (program := shutil.which("chromium")) is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    if not ConsoleFiles().are_built:
        pytest.skip("The web console is not built: make console")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page of the browser, and what it did that no page may do.

    Attributes:
        page: Playwright's page.
        base: Address of the service.
        complaints: Errors of scripts and of the content security policy, and requests to other hosts.
        answers: Responses of the service.
    """

    page: Any
    base: str
    complaints: list[str] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Open a path of the service and wait until nothing is loading."""
        self.page.goto(f"{self.base}{path}")
        self.page.wait_for_load_state("networkidle")

    def axe_violations(self) -> list[str]:
        """Return the violations that axe finds in the page as it is."""
        if not AXE.exists():
            pytest.skip("axe is not installed: python logitrack_service/console/build.py --check")
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    def overflows(self) -> bool:
        """Return whether the page is wider than the window."""
        overflow: bool = self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return overflow


@contextlib.contextmanager
def visit(browser: Any, base: str, *, expected: tuple[str, ...] = (), **options: Any) -> Iterator[Visit]:
    """Open a page in a context of its own, and assert at the end that it did nothing that it may not do.

    Args:
        browser: The browser.
        base: Address of the service.
        expected: Texts of messages that belong to the test.
        options: Options of the browser's context.
    """
    context = browser.new_context(viewport=DESKTOP, timezone_id="America/New_York", **options)
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    visited = Visit(context.new_page(), base)
    host = urlsplit(base).netloc

    def note_request(request: Any) -> None:
        if urlsplit(request.url).scheme in ("http", "https") and urlsplit(request.url).netloc != host:
            visited.complaints.append(f"request to {request.url}")

    def note_message(message: Any) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in expected):
            visited.complaints.append(message.text)

    visited.page.on("request", note_request)
    visited.page.on("response", lambda answer: visited.answers.append(answer))  # a bound method of `list` fails
    visited.page.on("console", note_message)
    visited.page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    try:
        yield visited
    finally:
        context.close()
    assert visited.complaints == []


def save_screenshot(page: Any, name: str, folder: Path | None) -> None:
    """Save the whole page as a picture, if a folder is given."""
    if folder is not None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)
