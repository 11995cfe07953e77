"""Reports against the trips they count, and analysts' own queries against what they must not do."""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User
from logitrack_tests.service.warehouse import fill

MONTHS = ["2019-01", "2019-02", "2019-03"]


@pytest.fixture(scope="module", autouse=True)
def trips(service_home: ServiceHome) -> Iterator[None]:
    """Three months of two fleets."""
    fill(service_home.engine, MONTHS, trips=1_500, fleets=("yellow", "green"))
    yield
    for table in ("analytics_sample", "trip_months", "rejections"):
        service_home.run(f"truncate warehouse.{table}")
    for table in ("hour", "zone_hour", "pair", "zone", "payment"):
        service_home.run(f"truncate warehouse.trip_stats_{table}")


def ask(client: TestClient, user: User, report: str, **query: Any) -> dict[str, Any]:
    response = client.get(f"/analytics/{report}", params=query, headers=user.headers)
    assert response.status_code == 200, response.text
    return response.json()


def test_mean_duration_by_hour_is_exact(service_home: ServiceHome, client: TestClient, user: User):
    answer = ask(client, user, "avg-duration-by-hour")
    counted = service_home.run(
        "select pickup_hour, avg(duration_minutes::float8) as avg_duration, count(*) as trips"
        " from warehouse.analytics_sample group by 1 order by 1"
    )
    assert answer["exact"] is True
    assert answer["source"] == "rollup"
    assert answer["trips"] == 9_000
    assert [row["pickup_hour"] for row in answer["rows"]] == list(range(24))
    for row, right in zip(answer["rows"], counted, strict=True):
        assert row["trips"] == right.trips
        assert row["avg_duration"] == pytest.approx(right.avg_duration, abs=1e-3)


def test_payment_analysis_is_exact(service_home: ServiceHome, client: TestClient, user: User):
    answer = ask(client, user, "payment-analysis")
    counted = {
        row.payment_type: row
        for row in service_home.run(
            "select payment_type, avg(duration_minutes::float8) as avg_duration, count(*) as trips"
            " from warehouse.analytics_sample group by 1"
        )
    }
    assert len(answer["rows"]) == len(counted) == 5
    for row in answer["rows"]:
        assert row["total_trips"] == counted[row["payment_type"]].trips
        assert row["avg_duration"] == pytest.approx(counted[row["payment_type"]].avg_duration, abs=1e-3)


@pytest.mark.parametrize(
    ("filters", "condition"),
    [
        ({"from_month": "2019-02"}, "month >= '2019-02'"),
        ({"to_month": "2019-01", "fleet": "green"}, "month <= '2019-01' and fleet = 'green'"),
        ({"zone": 7}, "pickup_zone = 7"),
        (
            {"borough": "Queens", "fleet": "yellow"},
            "fleet = 'yellow' and pickup_zone in (select zone from warehouse.zones where borough = 'Queens')",
        ),
    ],
)
@pytest.mark.parametrize(
    "report", ["avg-duration-by-hour", "payment-analysis", "weekday-hour", "busiest-zones", "zone-pairs"]
)
def test_filters_choose_the_same_trips_everywhere(
    service_home: ServiceHome, client: TestClient, user: User, report: str, filters: dict[str, Any], condition: str
):
    ((counted,),) = service_home.run(f"select count(*) from warehouse.analytics_sample where {condition}")
    answer = ask(client, user, report, **filters, **({"limit": 500} if report.startswith(("zone", "busi")) else {}))
    while answer["next"]:
        page = ask(client, user, report, **filters, limit=500, after=answer["next"])
        answer = {**page, "trips": answer["trips"] + page["trips"]}
    assert answer["trips"] == counted > 0
    assert answer["exact"] is (report != "payment-analysis" or not {"zone", "borough"} & set(filters))


def test_pairs_say_how_reliable_they_are(service_home: ServiceHome, client: TestClient, user: User):
    (pair, *_) = ask(client, user, "zone-pairs", limit=1)["rows"]
    ((median, p90, trips),) = service_home.run(
        "select percentile_disc(0.5) within group (order by duration_minutes), percentile_disc(0.9) within group"
        " (order by duration_minutes), count(*) from warehouse.analytics_sample"
        " where pickup_zone = :pickup and dropoff_zone = :dropoff",
        pickup=pair["pickup_zone"],
        dropoff=pair["dropoff_zone"],
    )
    assert pair["trips"] == trips
    assert pair["median_duration"] == pytest.approx(median, rel=0.0101)
    assert pair["p90_duration"] == pytest.approx(p90, rel=0.0101)
    assert pair["ratio"] == pytest.approx(pair["p90_duration"] / pair["median_duration"], rel=1e-3)


@pytest.mark.parametrize(
    ("report", "keys"), [("zone-pairs", ("pickup_zone", "dropoff_zone")), ("busiest-zones", ("zone",))]
)
def test_pages_go_on_where_the_last_one_ended(client: TestClient, user: User, report: str, keys: tuple[str, ...]):
    whole, seen, after = [], [], None
    while True:
        page = ask(client, user, report, limit=13, **({"after": after} if after else {}))
        seen += [tuple(row[key] for key in keys) for row in page["rows"]]
        whole += [row["trips"] for row in page["rows"]]
        after = page["next"]
        if after is None:
            break
        assert len(page["rows"]) == 13
    assert len(seen) == len(set(seen))
    assert sum(whole) == 9_000
    assert whole == sorted(whole, reverse=True)


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "WzEsMiwzLDRd", "e30", "'; drop table x", "WyJhIiwiYiJd"])
def test_what_is_no_cursor_is_refused(client: TestClient, user: User, cursor: str):
    response = client.get("/analytics/busiest-zones", params={"after": cursor}, headers=user.headers)
    assert response.status_code == 422


@pytest.mark.parametrize(
    "query",
    ["from_month=2019-13", "from_month=19-01", "fleet=blue", "zone=0", "zone=264", "borough=Texas", "limit=0",
     "limit=501", "format=xml", "from_month=2019-01%00"],
)  # fmt: skip
def test_everything_has_bounds(client: TestClient, user: User, query: str):
    assert client.get(f"/analytics/zone-pairs?{query}", headers=user.headers).status_code == 422


def test_months_and_rejections_add_up(client: TestClient, user: User):
    months = ask(client, user, "months")["rows"]
    assert [(row["month"], row["fleet"]) for row in months] == [(m, f) for m in MONTHS for f in ("green", "yellow")]
    assert all(row["rows_bronze"] == row["trips"] + row["rows_rejected"] for row in months)
    assert all(row["p90_duration"] > row["median_duration"] > 0 for row in months)
    rejected = ask(client, user, "rejections", fleet="green")["rows"]
    assert [row["trips"] for row in rejected] == [10, 10, 10]
    assert rejected[0]["share"] == pytest.approx(10 / 1510, abs=1e-4)


def test_csv_says_the_same_as_json(client: TestClient, user: User):
    rows = ask(client, user, "weekday-hour")["rows"]
    for way in ({"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        response = client.get(
            "/analytics/weekday-hour", params=way.get("params"), headers={**user.headers, **way.get("headers", {})}
        )
        assert response.headers["content-type"].startswith("text/csv")
        read = list(csv.DictReader(io.StringIO(response.text)))
        assert [{key: float(value) for key, value in row.items()} for row in read] == rows


def test_what_has_not_changed_is_not_sent_again(service_home: ServiceHome, client: TestClient, user: User):
    first = client.get("/analytics/avg-duration-by-hour", headers=user.headers)
    tag = first.headers["etag"]
    again = client.get("/analytics/avg-duration-by-hour", headers={**user.headers, "If-None-Match": f'"x", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    other = client.get("/analytics/avg-duration-by-hour?fleet=green", headers={**user.headers, "If-None-Match": tag})
    assert other.status_code == 200
    service_home.run("update warehouse.trip_months set published_at = clock_timestamp() where month = '2019-01'")
    time.sleep(1.1)
    fresh = client.get("/analytics/avg-duration-by-hour", headers={**user.headers, "If-None-Match": tag})
    assert fresh.status_code == 200
    assert fresh.headers["etag"] != tag


def query(client: TestClient, user: User, sql: str, **more: Any) -> Any:
    return client.post("/analytics/query", json={"sql": sql, **more}, headers=user.headers)


def test_an_analyst_asks_in_sql(client: TestClient, analyst: User):
    answer = query(client, analyst, "select fleet, sum(trips) as trips from hours group by fleet order by 1").json()
    assert answer["columns"] == ["fleet", "trips"]
    assert answer["rows"] == [["green", 4500], ["yellow", 4500]] or answer["rows"] == [
        ["green", "4500"],
        ["yellow", "4500"],
    ]
    assert answer["truncated"] is False


def test_values_are_bound(client: TestClient, analyst: User):
    for sql, parameters in (
        ("select count(*) from trips where fleet = $1 and pickup_zone < $2", ["green", 100]),
        ("select count(*) from trips where fleet = :f and pickup_zone < :z -- ':f'", {"f": "green", "z": 100}),
        ("select count(*) from trips where fleet = %(f)s and pickup_zone::int < %(z)s", {"f": "green", "z": 100}),
    ):
        assert query(client, analyst, sql, parameters=parameters).json()["rows"] == [[4500]], sql
    injected = query(client, analyst, "select :x as said", parameters={"x": "'; drop table service.accounts; --"})
    assert injected.json()["rows"] == [["'; drop table service.accounts; --"]]
    assert query(client, analyst, "select 1", parameters={"y": 1}).status_code == 400


def test_the_views_explain_themselves(client: TestClient, analyst: User):
    answer = query(client, analyst, "select view, about_view from documentation where about_view is not null").json()
    about = dict(answer["rows"])
    assert {"trips", "hours", "pairs", "zones", "live_error", "rejections"} <= set(about)
    assert all(about.values())


def test_sketches_merge_in_sql(client: TestClient, analyst: User):
    sql = "select duration_quantile(all_bins(bins), all_counts(counts), 0.5) from hours"
    median = query(client, analyst, sql).json()["rows"][0][0]
    right = query(
        client, analyst, "select percentile_disc(0.5) within group (order by duration_minutes) from trips"
    ).json()["rows"][0][0]
    assert math.isclose(median, right, rel_tol=0.0101)


def test_a_plan_instead_of_rows(client: TestClient, analyst: User):
    answer = query(client, analyst, "select * from hours", explain=True).json()
    assert "Seq Scan" in str(answer["rows"])


def test_rows_are_limited_and_said_to_be(client: TestClient, analyst: User):
    answer = query(client, analyst, "select * from trips;", limit=10).json()
    assert (answer["row_count"], answer["truncated"]) == (10, True)


def test_only_analysts_may(client: TestClient, user: User, admin: User):
    assert query(client, user, "select 1").status_code == 403
    assert query(client, admin, "select 1").status_code == 200


ATTACKS = [
    # what is not theirs
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
    # what is no query
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
    # what disturbs others
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
def test_the_database_refuses_what_is_not_allowed(
    service_home: ServiceHome, client: TestClient, analyst: User, attack: str
):
    def state() -> Any:
        return service_home.run(
            "select (select count(*) from service.accounts), (select count(*) from warehouse.zones),"
            " (select count(*) from pg_class), (select rolsuper from pg_roles where rolname = 'logitrack_analyst')"
        )

    before = state()
    response = query(client, analyst, attack)
    assert response.status_code in (400, 422), response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert state() == before


def test_explaining_executes_nothing(service_home: ServiceHome, client: TestClient, analyst: User):
    for sql in ("analyze delete from service.accounts", "delete from service.accounts", "select 1; select 2"):
        assert query(client, analyst, sql, explain=True).status_code == 400


def test_a_query_that_takes_too_long_ends(isolated_home: ServiceHome, new_user: Any):
    with isolated_home.worker(query_seconds=1) as client:
        analyst = new_user("analyst", client=client, home=isolated_home)
        began = time.monotonic()
        response = query(client, analyst, "select count(*) from generate_series(1, 100000000000)")
        assert response.status_code == 408
        assert time.monotonic() - began < 5
        assert query(client, analyst, "select 1").status_code == 200, "the next one has a fresh connection"
    running = isolated_home.run(
        "select 1 from pg_stat_activity where usename = 'logitrack_analyst' and state = 'active'"
    )
    assert running == []


def test_an_answer_has_a_size(isolated_home: ServiceHome, new_user: Any):
    with isolated_home.worker(query_bytes=100_000) as client:
        analyst = new_user("analyst", client=client, home=isolated_home)
        one_large_row = query(client, analyst, "select repeat('x', 200000)")
        assert one_large_row.status_code == 400
        assert "larger than" in one_large_row.json()["detail"]
        many_rows = query(client, analyst, "select repeat('x', 1000) from generate_series(1, 1000)", limit=10_000)
        assert many_rows.status_code == 413


def test_a_session_keeps_nothing_for_the_next_query(client: TestClient, analyst: User):
    ids = {str(query(client, analyst, "select pg_backend_pid()").json()["rows"]) for _ in range(3)}
    assert len(ids) == 3
