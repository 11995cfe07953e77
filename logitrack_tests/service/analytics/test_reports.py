"""Reports against the trips that they count."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.analytics.conftest import MONTHS
from logitrack_tests.service.conftest import ServiceHome, User


def fetch_report(client: TestClient, user: User, report: str, **query: Any) -> dict[str, Any]:
    response = client.get(f"/analytics/{report}", params=query, headers=user.headers)
    assert response.status_code == 200, response.text
    return response.json()


def test_mean_duration_by_hour_is_exact(service_home: ServiceHome, client: TestClient, user: User):
    body = fetch_report(client, user, "avg-duration-by-hour")
    counted = service_home.run(
        "select pickup_hour, avg(duration_minutes::float8) as avg_duration, count(*) as trips"
        " from warehouse.analytics_sample group by 1 order by 1"
    )
    assert body["exact"] is True
    assert body["source"] == "rollup"
    assert body["trips"] == 9_000
    assert [row["pickup_hour"] for row in body["rows"]] == list(range(24))
    for row, right in zip(body["rows"], counted, strict=True):
        assert row["trips"] == right.trips
        assert row["avg_duration"] == pytest.approx(right.avg_duration, abs=1e-3)


def test_payment_analysis_is_exact(service_home: ServiceHome, client: TestClient, user: User):
    body = fetch_report(client, user, "payment-analysis")
    counted = {
        row.payment_type: row
        for row in service_home.run(
            "select payment_type, avg(duration_minutes::float8) as avg_duration, count(*) as trips"
            " from warehouse.analytics_sample group by 1"
        )
    }
    assert len(body["rows"]) == len(counted) == 5
    for row in body["rows"]:
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
def test_filters_select_the_same_trips_in_every_report(
    service_home: ServiceHome, client: TestClient, user: User, report: str, filters: dict[str, Any], condition: str
):
    ((counted,),) = service_home.run(f"select count(*) from warehouse.analytics_sample where {condition}")
    body = fetch_report(
        client, user, report, **filters, **({"limit": 500} if report.startswith(("zone", "busi")) else {})
    )
    while body["next"]:
        page = fetch_report(client, user, report, **filters, limit=500, after=body["next"])
        body = {**page, "trips": body["trips"] + page["trips"]}
    assert body["trips"] == counted > 0
    from_all_trips = report != "payment-analysis" or not {"zone", "borough"} & set(filters)
    has_quantiles = report in ("zone-pairs", "busiest-zones")
    assert body["approximate"] == (["median_duration", "p90_duration", "ratio"] if has_quantiles else [])
    assert body["exact"] is (from_all_trips and not body["approximate"])


def test_months_with_quantiles_from_sketches_are_not_exact(client: TestClient, user: User):
    body = fetch_report(client, user, "months")
    assert (body["exact"], body["approximate"]) == (False, ["median_duration", "p90_duration"])


def test_quantiles_of_pairs_have_one_percent_error(service_home: ServiceHome, client: TestClient, user: User):
    (pair, *_) = fetch_report(client, user, "zone-pairs", limit=1)["rows"]
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


def test_quantiles_of_zones_have_one_percent_error(service_home: ServiceHome, client: TestClient, user: User):
    (zone, *_) = fetch_report(client, user, "busiest-zones", direction="dropoff", fleet="green", limit=1)["rows"]
    ((median, p90),) = service_home.run(
        "select percentile_disc(0.5) within group (order by duration_minutes), percentile_disc(0.9) within group"
        " (order by duration_minutes) from warehouse.analytics_sample where dropoff_zone = :zone and fleet = 'green'",
        zone=zone["zone"],
    )
    assert zone["median_duration"] == pytest.approx(median, rel=0.0101)
    assert zone["p90_duration"] == pytest.approx(p90, rel=0.0101)
    assert zone["ratio"] == pytest.approx(zone["p90_duration"] / zone["median_duration"], rel=1e-3)


@pytest.mark.parametrize(
    ("report", "keys"), [("zone-pairs", ("pickup_zone", "dropoff_zone")), ("busiest-zones", ("zone",))]
)
def test_pages_continue_without_gaps_or_repeats(client: TestClient, user: User, report: str, keys: tuple[str, ...]):
    whole, seen, after = [], [], None
    while True:
        page = fetch_report(client, user, report, limit=13, **({"after": after} if after else {}))
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
def test_invalid_cursor_is_refused(client: TestClient, user: User, cursor: str):
    response = client.get("/analytics/busiest-zones", params={"after": cursor}, headers=user.headers)
    assert response.status_code == 422


@pytest.mark.parametrize(
    "query",
    ["from_month=2019-13", "from_month=19-01", "fleet=blue", "zone=0", "zone=264", "borough=Texas", "limit=0",
     "limit=501", "format=xml", "from_month=2019-01%00"],
)  # fmt: skip
def test_parameters_are_validated(client: TestClient, user: User, query: str):
    assert client.get(f"/analytics/zone-pairs?{query}", headers=user.headers).status_code == 422


def test_months_and_rejections_add_up(client: TestClient, user: User):
    months = fetch_report(client, user, "months")["rows"]
    assert [(row["month"], row["fleet"]) for row in months] == [(m, f) for m in MONTHS for f in ("green", "yellow")]
    assert all(row["rows_bronze"] == row["trips"] + row["rows_rejected"] for row in months)
    assert all(row["p90_duration"] > row["median_duration"] > 0 for row in months)
    rejected = fetch_report(client, user, "rejections", fleet="green")["rows"]
    assert [row["trips"] for row in rejected] == [10, 10, 10]
    assert rejected[0]["share"] == pytest.approx(10 / 1510, abs=1e-4)


def test_csv_has_the_same_rows_as_json(client: TestClient, user: User):
    rows = fetch_report(client, user, "weekday-hour")["rows"]
    for way in ({"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        response = client.get(
            "/analytics/weekday-hour", params=way.get("params"), headers={**user.headers, **way.get("headers", {})}
        )
        assert response.headers["content-type"].startswith("text/csv")
        read = list(csv.DictReader(io.StringIO(response.text)))
        assert [{key: float(value) for key, value in row.items()} for row in read] == rows


def test_unchanged_report_returns_304(service_home: ServiceHome, client: TestClient, user: User):
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


@pytest.mark.parametrize(
    ("report", "header"),
    [
        ("avg-duration-by-hour", "pickup_hour,avg_duration,trips"),
        ("payment-analysis", "payment_type,payment,total_trips,avg_duration"),
        ("weekday-hour", "pickup_weekday,pickup_hour,avg_duration,trips"),
        ("busiest-zones", "zone,name,borough,trips,avg_duration,median_duration,p90_duration,ratio"),
        (
            "zone-pairs",
            "pickup_zone,dropoff_zone,trips,avg_duration,median_duration,p90_duration,ratio",
        ),
        (
            "months",
            "month,fleet,trips,avg_duration,median_duration,p90_duration,rows_bronze,rows_rejected,published_at",
        ),
        ("rejections", "month,fleet,rule,reason,trips,share"),
        ("live-error", "model_version,pickup_hour,outcomes,mae,bias,coverage"),
        (
            "live-error/days",
            "day,fleet,model_version,outcomes,mae_minutes,base_mae_minutes,median_error_minutes,bias_minutes,coverage,level",
        ),
        ("coverage", "model_version,fleet,level,outcomes,coverage,width_minutes"),
        ("drift", "month,fleet,model_version,measure,value,threshold,drifted"),
    ],
)
def test_csv_without_rows_has_a_header(client: TestClient, user: User, report: str, header: str):
    live = report.startswith(("live-error", "coverage"))
    parameters = {"format": "csv"} | ({"model_version": "none"} if live else {"from_month": "2031-01"})
    response = client.get(f"/analytics/{report}", params=parameters, headers=user.headers)
    assert response.status_code == 200
    assert response.text == header + "\n"
    assert response.headers["x-trips"] == "0"


def test_csv_content_type_has_one_charset(client: TestClient, user: User):
    response = client.get("/analytics/weekday-hour?format=csv", headers=user.headers)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    "report",
    ["avg-duration-by-hour", "payment-analysis", "weekday-hour", "busiest-zones", "zone-pairs", "months", "rejections"],
)
def test_openapi_describes_every_field_of_a_row(client: TestClient, user: User, report: str):
    document = client.get("/schema/openapi.json").json()

    def resolve(schema: dict[str, Any]) -> dict[str, Any]:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]

    responses = document["paths"][f"/analytics/{report}"]["get"]["responses"]
    assert "304" in responses
    assert "text/csv" in responses["200"]["content"]
    body = resolve(responses["200"]["content"]["application/json"]["schema"])
    row = resolve(body["properties"]["rows"]["items"])
    (first, *_) = fetch_report(client, user, report)["rows"]
    assert list(row["properties"]) == list(first)
    assert row["description"]


def test_live_error_is_computed_from_outcomes(isolated_home: ServiceHome, new_user: Any):
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        isolated_home.run("update service.accounts set vouched = true")
        for minute, real in enumerate((18.0, 26.0)):
            prediction_id = f"0190a2f4-5c3e-7b1d-8a2f-3c4d5e6f7a8{minute}"
            isolated_home.run(
                "insert into service.predictions"
                " values (:id, '2019-03-01 13:29Z', 1, 'v1', 'yellow', 236, 161, '2019-03-01 08:30', null,"
                " 20, 15, 25, 0.8, 100, false, 28)",
                id=prediction_id,
            )
            isolated_home.run("insert into service.outcomes values (:id, 1, :real)", id=prediction_id, real=real)
        report = fetch_report(client, user, "live-error")
        by_day = fetch_report(client, user, "live-error/days", since="2019-03-01")
        coverage = fetch_report(client, user, "coverage", since="2019-03-01", fleet="yellow")
        assert fetch_report(client, user, "live-error/days", since="2019-03-02")["rows"] == []
        assert fetch_report(client, user, "live-error/days")["rows"] == [], "by default the last 90 days"
        assert fetch_report(client, user, "coverage", since="2019-03-01", fleet="green")["rows"] == []
    assert report["rows"] == [
        {"model_version": "v1", "pickup_hour": 8, "outcomes": 2, "mae": 4.0, "bias": -2.0, "coverage": 0.5}
    ]
    assert (report["source"], report["trips"]) == ("live", 2)
    assert by_day["trips"] == 2
    assert by_day["rows"] == [
        {
            "day": "2019-03-01", "fleet": "yellow", "model_version": "v1", "outcomes": 2, "mae_minutes": 4.0,
            "base_mae_minutes": 6.0, "median_error_minutes": 4.0, "bias_minutes": -2.0, "coverage": 0.5, "level": 0.8,
        }
    ]  # fmt: skip
    assert coverage["rows"] == [
        {"model_version": "v1", "fleet": "yellow", "level": 0.8, "outcomes": 2, "coverage": 0.5, "width_minutes": 10.0}
    ]


def test_drift_is_that_of_the_version_compared_last(isolated_home: ServiceHome, new_user: Any):
    for version, hours, value in (("old", 2, 0.5), ("new", 1, 0.25)):
        isolated_home.run(
            "insert into warehouse.eta_drift values ('2019-07', 'yellow', :version, 'psi hour', :value, 0.1, true,"
            " now() - make_interval(hours => :hours))",
            version=version,
            value=value,
            hours=hours,
        )
    with isolated_home.worker() as client:
        user = new_user(client=client, home=isolated_home)
        newest = fetch_report(client, user, "drift")
        old = fetch_report(client, user, "drift", model_version="old", from_month="2019-07", fleet="yellow")
        assert fetch_report(client, user, "drift", from_month="2019-08")["rows"] == []
    assert newest["rows"] == [
        {
            "month": "2019-07", "fleet": "yellow", "model_version": "new", "measure": "psi hour", "value": 0.25,
            "threshold": 0.1, "drifted": True,
        }
    ]  # fmt: skip
    assert [row["value"] for row in old["rows"]] == [0.5]
