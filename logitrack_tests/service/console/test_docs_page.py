"""The API page in Chromium: a guide on top, signing in without tokens, and operations that answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from logitrack_tests.browser import save_screenshot, visit
from logitrack_tests.service.conftest import PASSWORD
from logitrack_tests.service.console.conftest import Site

SCREENSHOTS = Path(folder) if (folder := os.environ.get("LOGITRACK_TEST_SCREENSHOTS")) else None


def try_operation(page: Any, operation: str) -> str:
    """Open an operation, execute its example, and return the status of the response."""
    block = page.locator(f"[id$='-{operation}']")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    block.get_by_role("button", name="Execute").click()
    status: str = block.locator(".live-responses-table tbody .response-col_status").inner_text()
    return status.strip()


def test_a_person_signs_in_and_tries_an_operation(browser: Any, site: Site):
    username = site.register("user")
    with visit(browser, site.base, expected=("401",)) as visited:
        page = visited.page
        bar = page.get_by_role("banner")
        page.goto(f"{site.base}/docs")
        page.get_by_role("heading", name="Five minutes").wait_for()
        assert page.get_by_text("client_id").count() == 0
        assert page.get_by_role("button", name="Authorize").count() == 0
        save_screenshot(page, "docs", SCREENSHOTS)
        bar.get_by_label("Username").fill(username)
        bar.get_by_label("Password").fill("something else entirely")
        bar.get_by_role("button", name="Sign in").click()
        bar.get_by_role("alert").get_by_text("The username or the password is wrong.").wait_for()
        bar.get_by_label("Password").fill(PASSWORD)
        bar.get_by_label("Username").fill(username)
        bar.get_by_role("button", name="Sign in").click()
        bar.get_by_text(f"Signed in as {username}").wait_for()
        assert try_operation(page, "predictTrip") == "200", "a POST, with the CSRF token"
        assert try_operation(page, "listOwnSessions") == "200"
        save_screenshot(page, "docs-signed-in", SCREENSHOTS)
        bar.get_by_role("button", name="Sign out").click()
        bar.get_by_role("button", name="Sign in").wait_for()
        assert page.evaluate("document.cookie") == ""
