"""Conformance of every operation to the OpenAPI document, and thousands of hostile requests."""

from __future__ import annotations

import json
import random
import re
import secrets
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from logitrack_assets.database import database_url
from logitrack_assets.settings import Settings
from logitrack_service.auth.admin import create_admin
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.models import promote_model
from logitrack_tests.service.processes import PASSWORD, RunningService, running

SESSION_ENDING_PATHS = ("/logout", "/logout/everywhere", "/me/password", "/session")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("service_home")
    promote_model(home)
    shared = Settings(home=home, database_url=None)
    database_url(shared)
    create_admin(shared, "first-admin", PASSWORD, service_settings=ServiceSettings())
    with running(home, workers=1, argon2_memory_kib="64", argon2_iterations="1", log_level="warning") as started:
        yield started


@pytest.fixture
def headers(service: RunningService) -> dict[str, str]:
    """Return the authorization of a new session of an admin: some operations end it."""
    login = {"username": "first-admin", "password": PASSWORD}
    token = httpx2.post(f"{service.url}/token", data=login).json()["access_token"]
    return {"Authorization": f"Bearer {token}"}


# A schema cannot describe a common password, a valid cursor or valid SQL; and a batch is accepted although some of its
# rows are invalid, because each of them gets its own error.
BATCH, ENDINGS = "^/predict/batch$", f"^({'|'.join(SESSION_ENDING_PATHS)})$"
REST = f"{BATCH}|{ENDINGS}"


@pytest.mark.parametrize(
    ("which", "excluded"),
    [
        (("--exclude-path-regex", REST), "positive_data_acceptance"),
        (("--include-path-regex", BATCH), "positive_data_acceptance,negative_data_rejection"),
        (("--include-path-regex", ENDINGS), "positive_data_acceptance,negative_data_rejection"),
    ],
    ids=["all others", "batch", "ends of sessions"],
)
@pytest.mark.long
def test_every_operation_conforms_to_the_document(
    service: RunningService, headers: dict[str, str], which: tuple[str, str], excluded: str
):
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/schema/openapi.json", *which),
        *("--header", f"Authorization: {headers['Authorization']}", "--max-examples", "5"),
        *("--phases", "examples,coverage,fuzzing", "--checks", "all", "--exclude-checks", excluded),
        *("--generation-deterministic", "--no-color"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=service.log.parent)
    assert done.returncode == 0, done.stdout[-20_000:]


# A login of its own: the stateful phase renews sessions, and a refresh token that is used twice ends its session.
@pytest.mark.long
def test_chains_of_operations_conform_to_the_document(service: RunningService):
    headers = service.user("chain-follower")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/schema/openapi.json"),
        *("--phases", "stateful", "--max-examples", "60", "--header", f"Authorization: {headers['Authorization']}"),
        *("--exclude-path-regex", ENDINGS),
        *("--checks", "not_a_server_error,status_code_conformance,content_type_conformance"),
        *("--checks", "response_headers_conformance,response_schema_conformance"),
        *("--generation-deterministic", "--no-color"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=service.log.parent)
    assert done.returncode == 0, done.stdout[-20_000:]
    assert "Stateful" in done.stdout
    assert "unhandled_error" not in service.log.read_text()


def hostile_text(dice: random.Random) -> str:
    return dice.choice(
        [
            "",
            "\ud83d",  # a lone surrogate
            "\x00",
            "' or 1=1 --",
            "'; drop table service.accounts; --",
            "../../../../etc/passwd",
            "%00%0d%0aSet-Cookie: a=b",
            "${jndi:ldap://x}",
            "{{7*7}}",
            "<script>alert(1)</script>",
            "\ud83d\ude95" * 50,
            "A" * dice.randint(1, 20_000),
            "".join(dice.choices(string.printable, k=dice.randint(1, 60))),
            "9" * 400,
            "-1e999",
            "NaN",
            "2019-02-30T25:61:61",
            "0000-00-00",
            "9999-12-31T23:59:59-23:59",
            "9" * 5_001,
            "[" * 3_000,
            "select (repeat('[', 3000) || repeat(']', 3000))::jsonb",
            "select repeat('9', 5001)::jsonb, daterange('2019-01-01', 'infinity'), time '24:00'",
            "select $1, $2",
            "select $$ /* -- ",
        ]
    )


def hostile_value(dice: random.Random, depth: int = 0) -> Any:
    kinds = [
        lambda: hostile_text(dice),
        lambda: dice.choice([0, -1, 2**31, 2**63, -(2**63), 10**40, 1e308, -0.0, 0.1]),
        lambda: dice.choice([None, True, False]),
    ]
    if depth < 4:
        kinds.append(lambda: [hostile_value(dice, depth + 1) for _ in range(dice.randint(0, 4))])
        kinds.append(
            lambda: {hostile_text(dice)[:50]: hostile_value(dice, depth + 1) for _ in range(dice.randint(0, 4))}
        )
    return dice.choice(kinds)()


EXTREME_JSON = (
    "9" * 5_001,
    "-" + "9" * 5_001 + ".5",
    "1e99999",
    "[" * 3_000 + "]" * 3_000,
    '{"a":' * 900 + "1" + "}" * 900,
)
CONTROLS = bytes([*range(32), 127])  # the client refuses to send them in a header
FIELDS = (
    "pickup_zone", "dropoff_zone", "pickup_at", "distance_miles", "fleet", "level", "trips", "pickup_zones",
    "dropoff_zones", "prediction_id", "duration_minutes", "outcomes", "username", "password", "refresh_token", "role",
    "sql", "parameters", "limit", "explain",
)  # fmt: skip


def hostile_targets(service: RunningService) -> list[tuple[str, str]]:
    """Return method and path template of every operation that leaves the session of the caller open."""
    document = httpx2.get(f"{service.url}/schema/openapi.json").json()
    operations = [(method.upper(), path) for path, item in document["paths"].items() for method in item]
    return [
        *sorted(operation for operation in operations if operation[1] not in SESSION_ENDING_PATHS),
        ("POST", "/session"), ("GET", "/"), ("GET", "/assets/{name}"), ("GET", "/{name}"),
    ]  # fmt: skip


def hostile_request(
    dice: random.Random, url: str, targets: list[tuple[str, str]], headers: dict[str, str]
) -> httpx2.Request:
    method, template = dice.choice(targets)

    def encode(_: re.Match[str]) -> str:
        return "".join(f"%{byte:02x}" for byte in hostile_text(dice).encode(errors="replace")[:100]) or "x"

    path = re.sub(r"\{\w+\}", encode, template)
    extra = {}
    if dice.random() < 0.2:
        name = dice.choice(["Accept", "X-Request-ID", "If-None-Match", "X-Forwarded-For", "Content-Type", "Range"])
        extra[name.encode()] = hostile_text(dice).encode(errors="replace")[:200].translate(None, CONTROLS).strip()
    if dice.random() < 0.1:
        headers = {"Authorization": f"Bearer {secrets.token_urlsafe(dice.randint(1, 200))}"}
    given = {**{name.encode(): value.encode() for name, value in headers.items()}, **extra}
    body = {name: hostile_value(dice) for name in dice.sample(FIELDS, dice.randint(0, 6))}
    if method in ("GET", "DELETE"):
        return httpx2.Request(
            method,
            url + path,
            params={k: str(v)[:500].encode(errors="replace").decode() for k, v in body.items()},
            headers=given,
        )
    if dice.random() < 0.1:
        return httpx2.Request(method, url + path, content=dice.randbytes(dice.randint(0, 3000)), headers=given)
    content = json.dumps(body)
    if dice.random() < 0.1:
        content = content.replace("null", dice.choice(EXTREME_JSON))
    return httpx2.Request(method, url + path, content=content, headers=given)


@pytest.mark.long
def test_15_000_hostile_requests_cause_no_server_error(service: RunningService, headers: dict[str, str]):
    asked, targets = 15_000, hostile_targets(service)

    def attack(seed: int) -> Counter[int]:
        dice, statuses = random.Random(seed), Counter[int]()
        with httpx2.Client(timeout=30) as client:
            for _ in range(asked // 4):
                response = client.send(hostile_request(dice, service.url, targets, headers))
                statuses[response.status_code] += 1
                if response.status_code >= 400:
                    assert response.headers["content-type"] == "application/problem+json", response.request.url
                assert "Traceback" not in response.text
        return statuses

    with ThreadPoolExecutor(4) as pool:
        statuses = sum(pool.map(attack, range(4)), Counter[int]())
    assert sum(statuses.values()) == asked
    assert not [status for status in statuses if status >= 500], statuses
    trip = {"pickup_zone": 161, "dropoff_zone": 132}
    assert httpx2.post(f"{service.url}/predict", json=trip, headers=headers).status_code == 200
    assert "unhandled_error" not in service.log.read_text()
