"""Attacks on the limits of analysts' queries: each one succeeded once against a real PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User

MIB = 2**20


def run_query(client: TestClient, user: User, sql: str, **more: Any) -> Any:
    return client.post("/analytics/query", json={"sql": sql, **more}, headers=user.headers)


@contextlib.contextmanager
def peak_memory_growth() -> Iterator[list[int]]:
    """Yield a list that holds the largest growth of this process's resident memory in bytes after the block."""
    process, growth, done = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def sample() -> None:
        while not done.wait(0.002):
            growth[0] = max(growth[0], process.memory_info().rss - before)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield growth
    finally:
        done.set()
        thread.join()


BIG = "repeat('x', 80000000)"
MEMORY_ATTACKS = [
    (f"select {BIG}", {}),
    (f"select 1) as q union all (select {BIG}", {}),
    (f"select {BIG} --\x00", {}),
    (f"select {BIG}) as q --\x00", {}),
    (f"select 1 where {BIG} = current_user", {"explain": True}),
    (f"select {BIG}", {"explain": True}),
    (f"select ({BIG})::int", {}),  # the error message quotes the value
    (f"select ({BIG})::int", {"explain": True}),
    (f"select array_fill(0, array[5000000]), {BIG}", {}),
    (f"select {BIG} from generate_series(1, 3)", {"limit": 3}),
    (f"explain verbose select {BIG}", {}),
    (f'select 1 as "{"x" * 60}", {BIG} as a, {BIG} as a', {}),
]


@pytest.mark.parametrize(("sql", "more"), MEMORY_ATTACKS)
def test_oversized_result_is_refused_before_it_reaches_the_service(
    client: TestClient, analyst: User, sql: str, more: dict[str, Any]
):
    run_query(client, analyst, "select 1")
    with peak_memory_growth() as growth:
        response = run_query(client, analyst, sql, **more)
    assert response.status_code in (400, 413, 422), response.text[:300]
    assert len(response.content) < 5_000
    assert growth[0] < 25 * MIB


@pytest.mark.parametrize(
    "sql",
    [
        "select 1) as q, generate_series(1, 50000) as g --",
        "select 1) as q, generate_series(1, 50000) as g /*",
        "select g from generate_series(1, 50000) as g) as q --\x00",
        "select g from generate_series(1, 50000) as g) as q limit 40000 --",
    ],
)
def test_row_limit_cannot_be_evaded_by_closing_the_parenthesis(client: TestClient, analyst: User, sql: str):
    response = run_query(client, analyst, sql, limit=10)
    assert response.status_code in (400, 422), response.text[:300]


def test_nul_is_refused_in_text_and_parameters(client: TestClient, analyst: User):
    assert run_query(client, analyst, "select 1 --\x00").status_code == 400
    assert run_query(client, analyst, "select $1", parameters=["a\x00"]).status_code == 400
    assert run_query(client, analyst, "select $1", parameters=[["a\x00"]]).status_code == 400
    assert run_query(client, analyst, "select :a", parameters={"a": "\x00"}).status_code == 400


def test_rows_of_a_plan_are_limited(client: TestClient, analyst: User):
    many_steps = " union all ".join(["select count(*) from hours"] * 20)
    result = run_query(client, analyst, many_steps, explain=True, limit=5).json()
    assert (result["row_count"], len(result["rows"]), result["truncated"]) == (5, 5, True)


@pytest.mark.parametrize("statement", ["show all", "explain select 1", "fetch 1 from c", "execute analyst_text"])
def test_utility_statement_that_returns_rows_is_refused(client: TestClient, analyst: User, statement: str):
    assert run_query(client, analyst, statement).status_code == 400


def test_total_size_is_limited(isolated_home: ServiceHome, new_user: Any):
    with isolated_home.worker(query_bytes=1_000_000, query_rows=100_000) as client:
        analyst = new_user("analyst", client=client, home=isolated_home)
        for sql in (
            "select repeat('x', 900000) from generate_series(1, 100)",
            "select g, g, g, g, g, g, g, g, g, g from generate_series(1, 100000) as g",
            "select null, null, null, null, null, null, null, null, null from generate_series(1, 100000) as g",
        ):
            with peak_memory_growth() as growth:
                response = run_query(client, analyst, sql, limit=100_000)
            assert response.status_code == 413, response.text[:300]
            assert growth[0] < 25 * MIB
        assert run_query(client, analyst, "select 1").json()["rows"] == [[1]]


def test_missing_parameter_is_a_bad_request(client: TestClient, analyst: User):
    assert run_query(client, analyst, "select $1::int").status_code == 400
    assert run_query(client, analyst, "select $1::int + $2::int", parameters=[1]).status_code == 400


def test_temporary_files_are_limited(client: TestClient, analyst: User):
    sql = "with t as materialized (select repeat('x', 1000) from generate_series(1, 1000000)) select count(*) from t"
    response = run_query(client, analyst, sql)
    assert response.status_code == 400, response.text
    assert "temporary file size" in response.json()["detail"]


def test_limits_are_settings_of_the_role(service_home: ServiceHome, client: TestClient, analyst: User):
    [(config, connections)] = service_home.run(
        "select rolconfig, rolconnlimit from pg_roles where rolname = 'logitrack_analyst'"
    )
    settings = dict(entry.split("=", 1) for entry in config)
    assert connections > 0
    assert settings["statement_timeout"] == "10s"
    assert settings["temp_file_limit"] == "256MB"
    assert settings["work_mem"] == "16MB"
    assert settings["default_transaction_read_only"] == "on"
    assert {"lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"} <= set(settings)
    limit = "select setting from pg_settings where name = 'temp_file_limit'"
    assert run_query(client, analyst, limit).json()["rows"] == [[str(256 * 1024)]]


# A search without a match looks at no interrupt, so neither the statement timeout nor a termination ends it early.
UNINTERRUPTIBLE = "select strpos(repeat('a', 1000000), 'b' || repeat('a', 9000))"


def _computing(home: ServiceHome) -> int:
    """Return the number of analysts' backends in this database that compute."""
    return len(
        home.run(
            "select 1 from pg_stat_activity where application_name = 'logitrack-analyst'"
            " and datname = current_database() and state = 'active'"
        )
    )


def test_slot_is_held_until_the_backend_is_gone(isolated_home: ServiceHome, new_user: Any, monkeypatch: Any):
    monkeypatch.setattr("logitrack_service.analytics.query.MAX_CONCURRENT_QUERIES", 1)
    monkeypatch.setattr("logitrack_service.analytics.query.GRACE_SECONDS", 0.2)
    monkeypatch.setattr("logitrack_service.analytics.query.QUEUE_SECONDS", 0.2)
    with isolated_home.worker(query_seconds=1) as client:
        analyst = new_user("analyst", client=client, home=isolated_home)
        started = time.monotonic()
        assert run_query(client, analyst, UNINTERRUPTIBLE).status_code == 408
        assert time.monotonic() - started < 2.5, "the response does not wait for the backend"
        assert _computing(isolated_home) == 1
        statuses = [run_query(client, analyst, "select 1").status_code]
        while statuses[-1] == 503 and time.monotonic() - started < 60:
            statuses.append(run_query(client, analyst, "select 1").status_code)
        assert statuses[0] == 503
        assert statuses[-1] == 200
        assert _computing(isolated_home) == 0
