"""Analysts' SQL queries: what they return, and what PostgreSQL refuses."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_service.analytics.query import bind_parameters
from logitrack_service.errors import InvalidRequestError
from logitrack_tests.service.conftest import ServiceHome, User


def run_query(client: TestClient, user: User, sql: str, **more: Any) -> Any:
    return client.post("/analytics/query", json={"sql": sql, **more}, headers=user.headers)


def test_query_returns_columns_and_rows(client: TestClient, analyst: User):
    result = run_query(client, analyst, "select fleet, sum(trips) as trips from hours group by fleet order by 1").json()
    assert result["columns"] == ["fleet", "trips"]
    assert result["rows"] == [["green", 4500], ["yellow", 4500]] or result["rows"] == [
        ["green", "4500"],
        ["yellow", "4500"],
    ]
    assert result["truncated"] is False


def test_parameters_are_bound(client: TestClient, analyst: User):
    for sql, parameters in (
        ("select count(*) from trips where fleet = $1 and pickup_zone < $2", ["green", 100]),
        ("select count(*) from trips where fleet = :f and pickup_zone < :z -- ':f'", {"f": "green", "z": 100}),
        ("select count(*) from trips where fleet = %(f)s and pickup_zone::int < %(z)s", {"f": "green", "z": 100}),
    ):
        assert run_query(client, analyst, sql, parameters=parameters).json()["rows"] == [[4500]], sql
    injected = run_query(client, analyst, "select :x as bound", parameters={"x": "'; drop table service.accounts; --"})
    assert injected.json()["rows"] == [["'; drop table service.accounts; --"]]
    assert run_query(client, analyst, "select 1", parameters={"y": 1}).status_code == 400


def test_unused_parameter_is_refused_although_its_number_begins_another_one():
    names = [f"p{number}" for number in range(1, 12)]
    sql = "select " + ", ".join(f":{name}" for name in names[1:])  # without p1, with $10 and $11
    with pytest.raises(InvalidRequestError, match=r"do not occur in the query: p1\.$"):
        bind_parameters(sql, dict.fromkeys(names, 1))


@pytest.mark.parametrize(
    ("sql", "bound"),
    [
        ("select :a, %(b)s, :a", "select $1, $2, $1"),
        ("select :a::text, ':b', \"%(b)s\", :b -- :a", "select $1::text, ':b', \"%(b)s\", $2 -- :a"),
        ("select $$ :a $$, :a /* :b */, :b, :c", "select $$ :a $$, $1 /* :b */, $2, :c"),
    ],
)
def test_placeholders_are_numbered_outside_of_literals_and_comments(sql: str, bound: str):
    assert bind_parameters(sql, {"a": 1, "b": "x"}) == (bound, [1, "x"])


def test_views_are_documented(client: TestClient, analyst: User):
    result = run_query(
        client, analyst, "select view, about_view from documentation where about_view is not null"
    ).json()
    about = dict(result["rows"])
    assert {"trips", "hours", "pairs", "zones", "live_error", "rejections"} <= set(about)
    assert all(about.values())


def test_sketches_merge_in_sql(client: TestClient, analyst: User):
    sql = "select duration_quantile(all_bins(bins), all_counts(counts), 0.5) from hours"
    median = run_query(client, analyst, sql).json()["rows"][0][0]
    right = run_query(
        client, analyst, "select percentile_disc(0.5) within group (order by duration_minutes) from trips"
    ).json()["rows"][0][0]
    assert math.isclose(median, right, rel_tol=0.0101)


def test_explain_returns_the_plan(client: TestClient, analyst: User):
    result = run_query(client, analyst, "select * from hours", explain=True).json()
    assert "Seq Scan" in str(result["rows"])


def test_row_limit_marks_the_result_as_truncated(client: TestClient, analyst: User):
    result = run_query(client, analyst, "select * from trips;", limit=10).json()
    assert (result["row_count"], result["truncated"]) == (10, True)


def test_query_requires_the_role_analyst(client: TestClient, user: User, admin: User):
    assert run_query(client, user, "select 1").status_code == 403
    assert run_query(client, admin, "select 1").status_code == 200


ATTACKS = [
    # objects without a grant
    "select * from service.accounts",
    "select * from service.refresh_tokens",
    "select * from warehouse.analytics_sample",
    "select * from pg_authid",
    "select * from pg_shadow",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select lo_import('/etc/passwd')",
    "select lo_creat(-1)",
    "select query_to_xml('select * from service.accounts', true, true, '')",
    "select table_to_xml('service.accounts', true, true, '')",
    "select * from dblink('dbname=postgres', 'select 1') as t(x int)",
    "select current_setting('is_superuser') from service.accounts",
    # statements that are not queries
    "insert into analytics.trips select * from analytics.trips",
    "with gone as (delete from warehouse.zones returning 1) select * from gone",
    "update service.accounts set role = 'admin' where false",
    "drop view analytics.trips",
    "create table mine (x int)",
    "create temporary table mine (x int)",
    "copy (select 1) to program 'touch /tmp/owned'",
    "do $$ begin perform 1; end $$",
    "set role postgres",
    "reset session authorization",
    "begin",
    "vacuum",
    "listen logitrack_revocations",
    "notify logitrack_revocations",
    "select * into mine from trips",
    "alter role logitrack_analyst superuser",
    # more than one statement, and ways out of the sub-query
    "select 1; select 2",
    "select 1; delete from service.accounts",
    "select 1) as q; delete from service.accounts; --",
    "select 1) as q where true; commit; begin; delete from service.accounts; --",
    "select 1 /* unclosed",
    "select 'unclosed",
    # functions that affect other sessions
    "select pg_advisory_lock(274823876)",
    "select pg_notify('logitrack_revocations', 'x')",
    "select pg_terminate_backend(pid) from pg_stat_activity",
    "select pg_cancel_backend(pid) from pg_stat_activity",
    "select set_config('statement_timeout', '0', false)",
    "select pg_sleep(60)",
    "select * from trips for update",
    "select nextval('service.audit_events_event_id_seq')",
    "",
    "   ;  ",
    "-- nothing",
    "\x00",
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack_is_refused_by_the_database(service_home: ServiceHome, client: TestClient, analyst: User, attack: str):
    def state() -> Any:
        return service_home.run(
            "select (select count(*) from service.accounts), (select count(*) from warehouse.zones),"
            " (select count(*) from pg_class), (select rolsuper from pg_roles where rolname = 'logitrack_analyst')"
        )

    before = state()
    response = run_query(client, analyst, attack)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert state() == before


def test_explain_executes_nothing(service_home: ServiceHome, client: TestClient, analyst: User):
    for sql in ("analyze delete from service.accounts", "delete from service.accounts", "select 1; select 2"):
        assert run_query(client, analyst, sql, explain=True).status_code == 400


def test_slow_query_is_cancelled(isolated_home: ServiceHome, new_user: Any):
    with isolated_home.worker(query_seconds=1) as client:
        analyst = new_user("analyst", client=client, home=isolated_home)
        started = time.monotonic()
        # A cross join computes for hours without a large temporary file, which temp_file_limit would refuse first.
        sql = "select count(*) from generate_series(1, 100000) a, generate_series(1, 1000000) b"
        response = run_query(client, analyst, sql)
        assert response.status_code == 408
        assert time.monotonic() - started < 5
        assert run_query(client, analyst, "select 1").status_code == 200, "the next query has a new connection"
    running = isolated_home.run(
        "select 1 from pg_stat_activity where usename = 'logitrack_analyst' and state = 'active'"
    )
    assert running == []


def test_result_size_is_limited(isolated_home: ServiceHome, new_user: Any):
    with isolated_home.worker(query_bytes=100_000) as client:
        analyst = new_user("analyst", client=client, home=isolated_home)
        one_large_row = run_query(client, analyst, "select repeat('x', 200000)")
        assert one_large_row.status_code == 400
        assert "larger than" in one_large_row.json()["detail"]
        many_rows = run_query(client, analyst, "select repeat('x', 1000) from generate_series(1, 1000)", limit=10_000)
        assert many_rows.status_code == 413


def test_every_query_has_its_own_session(client: TestClient, analyst: User):
    ids = {str(run_query(client, analyst, "select pg_backend_pid()").json()["rows"]) for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("daterange('2019-01-01', 'infinity')", "[2019-01-01,infinity)"),
        ("int4range(1, 5)", "[1,5)"),
        ("numrange(1, null)", "[1,)"),
        ("date '12345-01-01'", "12345-01-01"),
        ("timestamp 'infinity'", "infinity"),
        ("timestamptz '0044-03-15 12:00+00 BC'", "0044-03-15 12:00:00+00 BC"),
        ("time '24:00'", "24:00:00"),
        ("interval '1000000 years'", "1000000 years"),
        ("array[date 'infinity', date '2019-01-01']", ["infinity", "2019-01-01"]),
        ("row(1, 'x')", "(1,x)"),
        ("bytea '\\x00ff'", "\\x00ff"),
        ("numeric '10.50'", 10.5),
        ("""jsonb '{"a": [1, null, "b"]}'""", {"a": [1, None, "b"]}),
        ("null::jsonb", None),
        ("float8 'NaN'", None),
    ],
)
def test_values_beyond_pythons_types_are_returned(client: TestClient, analyst: User, expression: str, text: object):
    response = run_query(client, analyst, f"select {expression} as value")
    assert response.status_code == 200, response.text
    assert response.json()["rows"] == [[text]]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("(repeat('[', 3000) || repeat(']', 3000))::jsonb", "[" * 3000 + "]" * 3000),
        ("repeat('9', 5001)::jsonb", '"' + "9" * 5001 + '"'),  # no integer beyond 2^53 is a JSON number
    ],
    ids=["3,000 levels", "5,001 digits"],
)
def test_json_beyond_the_limits_of_decoders_is_returned(client: TestClient, analyst: User, expression: str, text: str):
    response = run_query(client, analyst, f"select {expression} as value")
    assert response.status_code == 200
    assert f'"rows":[[{text}]]' in response.text


@pytest.mark.parametrize(
    ("sql", "parameters"), [("select $1", None), ("select $1::int", []), ("select $2::int", [1]), ("select $1", {})]
)
def test_missing_parameter_is_an_error_of_the_query(
    client: TestClient, analyst: User, sql: str, parameters: list[int] | dict[str, int] | None
):
    response = run_query(client, analyst, sql, parameters=parameters)
    assert response.status_code == 400
    assert "values were given" in response.json()["detail"]


@pytest.mark.parametrize("text", ["[" * 90_000, '{"a":' * 30_000, "[" * 90_000 + "]" * 90_000, "9" * 5_001, "1e99999"])
def test_extreme_parameters_are_rejected(client: TestClient, analyst: User, text: str):
    body = b'{"sql": "select 1", "parameters": ' + text.encode() + b"}"
    assert client.post("/analytics/query", content=body, headers=analyst.headers).status_code in (400, 422)
