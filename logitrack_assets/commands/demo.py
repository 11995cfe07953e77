"""`logitrack demo`: from trips to one prediction over HTTP, a report, and the end."""

from __future__ import annotations

import secrets
from typing import Any

import httpx2
from rich.console import Console

from logitrack_assets.commands.demo_report import build_report, print_report, write_report
from logitrack_assets.commands.stack import local_stack
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings

REQUEST = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2020-01-15T17:30:00"}
"""Midtown to JFK on a Wednesday at half past five."""


def run_demo(settings: Settings, console: Console) -> None:
    """Start what `up` starts, request one prediction, write and print `demo.json`, and stop.

    Raises:
        LogitrackError: A requirement is not met, a process ended, or the service refused a request.
    """
    with local_stack(settings, console, "demo") as stack:
        stack.materialize_if_needed()
        stack.start_servers()
        response = request_prediction(stack.service_url)
        report = build_report(settings, source=stack.source_url, request=REQUEST, response=response)
        file = settings.home / "demo.json"
        write_report(report, file)
        print_report(report, console)
        console.print(f"The report is also in {file}.", highlight=False)


def request_prediction(service_url: str) -> dict[str, Any]:
    """Register a new user, get a token, request a prediction and return the response.

    Raises:
        LogitrackError: The service refused a request; the message has its response.
    """
    user = {"username": f"demo-{secrets.token_hex(4)}", "password": secrets.token_urlsafe(24)}
    with httpx2.Client(base_url=service_url, timeout=30) as client:
        _require_success(client.post("/register", json=user))
        token = _require_success(client.post("/token", data={"grant_type": "password", **user}))["access_token"]
        return _require_success(client.post("/predict", json=REQUEST, headers={"Authorization": f"Bearer {token}"}))


def _require_success(response: httpx2.Response) -> dict[str, Any]:
    if not response.is_success:
        path, status = response.request.url.path, response.status_code
        raise LogitrackError(f"The service answered {path} with {status}: {response.text[:300]}")
    body: dict[str, Any] = response.json()
    return body
