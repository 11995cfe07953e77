"""Rows of analysts' queries as JSON and CSV."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import ServiceHome, User


def run_query(client: TestClient, user: User, sql: str, *, accept: str = "*/*", format: str = "", **more: Any) -> Any:
    path = "/analytics/query" + (f"?format={format}" if format else "")
    return client.post(path, json={"sql": sql, **more}, headers={**user.headers, "Accept": accept})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("null", None),
        ("true", True),
        ("1::smallint", 1),
        ("2147483647", 2147483647),
        ("9007199254740991::bigint", 9007199254740991),
        ("9007199254740992::bigint", "9007199254740992"),
        ("(-9223372036854775808)::bigint", "-9223372036854775808"),
        ("12345678901234567890::numeric", "12345678901234567890"),
        ("sum(x::bigint)", 3),
        ("avg(x::int)", 1.5),
        ("0.1::numeric", 0.1),
        ("'NaN'::numeric", None),
        ("'Infinity'::numeric", None),
        ("0.1::float8", 0.1),
        ("0.1::real", 0.1),
        ("1e300::float8", 1e300),
        ("'NaN'::float8", None),
        ("'-Infinity'::float8", None),
        ("'text \"quoted\" \\ é \t'", 'text "quoted" \\ é \t'),
        ("''", ""),
        ("date '2024-02-29'", "2024-02-29"),
        ("timestamp '2024-02-29 12:30:00'", "2024-02-29 12:30:00"),
        ("interval '90 minutes'", "01:30:00"),
        ("int4range(1, 5)", "[1,5)"),
        ("'\\x00ff'::bytea", "\\x00ff"),
        ("array[1, null, 3]", [1, None, 3]),
        ("array[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("array['a', 'b \"c\"', null]", ["a", 'b "c"', None]),
        ("array[1.5::float8, 'NaN', 'Infinity']", [1.5, None, None]),
        ("array[1::bigint, 9007199254740993]", ["1", "9007199254740993"]),
        ("array[1::bigint, 2]", [1, 2]),
        ("'[0:1]={7,8}'::int[]", [7, 8]),
        ("array[date '2024-02-29']", ["2024-02-29"]),
        ('\'{"a": [1, {"b": null}]}\'::jsonb', {"a": [1, {"b": None}]}),
        ("'{\"a\": 12345678901234567890}'::json", '{"a": 12345678901234567890}'),
        ("row(1, 'a')", "(1,a)"),
        ("'a'::\"char\"", "a"),
        ("'cash'::name", "cash"),
        ("'127.0.0.1'::inet", "127.0.0.1/32"),
    ],
)
def test_value_in_json(client: TestClient, analyst: User, expression: str, expected: Any):
    response = run_query(client, analyst, f"select {expression} as value from (values (1), (2)) as v (x) limit 1")
    if response.status_code == 400:  # not an aggregate
        response = run_query(client, analyst, f"select {expression} as value")
    assert response.status_code == 200, response.text
    [[value]] = response.json()["rows"]
    assert value == expected
    assert type(value) is type(expected)


def test_no_integer_beyond_the_exact_range_is_a_json_number(client: TestClient, analyst: User):
    sql = (
        "select 9007199254740992, (2::numeric ^ 70)::numeric(40, 0), array[9007199254740993],"
        " '[9007199254740993]'::json, 7"
    )
    numbers: list[int] = []

    def collect(text: str) -> int:
        numbers.append(int(text))
        return int(text)

    json.loads(run_query(client, analyst, sql).text, parse_int=collect)
    assert numbers
    assert all(abs(number) < 2**53 for number in numbers)


def test_columns_are_returned_without_rows(client: TestClient, analyst: User):
    sql = "select fleet, sum(trips) as trips from hours where false group by fleet"
    result = run_query(client, analyst, sql).json()
    assert (result["columns"], result["rows"], result["row_count"]) == (["fleet", "trips"], [], 0)
    assert run_query(client, analyst, sql, format="csv").text == "fleet,trips\n"


def test_duplicate_column_names_are_kept(client: TestClient, analyst: User):
    sql = "select 1 as a, 'x' as a, 2 as \"A, b\", 3"
    result = run_query(client, analyst, sql).json()
    assert result["columns"] == ["a", "a", "A, b", "?column?"]
    assert result["rows"] == [[1, "x", 2, 3]]
    assert run_query(client, analyst, sql, format="csv").text == 'a,a,"A, b",?column?\n1,x,2,3\n'


@pytest.mark.parametrize("more", [{"format": "csv"}, {"accept": "text/csv"}])
def test_csv(client: TestClient, analyst: User, more: dict[str, str]):
    sql = """
        select * from (values (1, 'plain', 0.5), (2, 'a "quoted", text', null), (3, E'two\\nlines', 'NaN'),
                              (9007199254740993, '', 1)) as t (id, name, share) order by id
    """
    response = run_query(client, analyst, sql, limit=4, **more)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert (response.headers["x-row-count"], response.headers["x-truncated"]) == ("4", "false")
    assert list(csv.reader(io.StringIO(response.text))) == [
        ["id", "name", "share"],
        ["1", "plain", "0.5"],
        ["2", 'a "quoted", text', ""],
        ["3", "two\nlines", "NaN"],
        ["9007199254740993", "", "1"],
    ]
    truncated = run_query(client, analyst, sql, limit=2, **more)
    assert (truncated.headers["x-row-count"], truncated.headers["x-truncated"]) == ("2", "true")
    assert len(truncated.text.splitlines()) == 3


def test_csv_with_one_column_has_a_line_for_each_null(client: TestClient, analyst: User):
    response = run_query(client, analyst, "select nullif(g, 2) as g from generate_series(1, 3) as g", format="csv")
    assert list(csv.reader(io.StringIO(response.text))) == [["g"], ["1"], [""], ["3"]]


def test_plan_in_csv(client: TestClient, analyst: User):
    response = run_query(client, analyst, "select * from hours where fleet = $1", format="csv", explain=True,
                         parameters=["it's"])  # fmt: skip
    rows = list(csv.reader(io.StringIO(response.text)))
    assert rows[0] == ["QUERY PLAN"]
    assert "it''s" in response.text


def test_many_columns(client: TestClient, analyst: User):
    sql = "select " + ",".join(str(number) for number in range(1_600))
    assert run_query(client, analyst, sql).json()["rows"] == [list(range(1_600))]
    assert len(run_query(client, analyst, sql, format="csv").text.splitlines()[1].split(",")) == 1_600


def test_parameters_of_every_type(client: TestClient, analyst: User):
    values = [1, 2**40, 2**70, 1.5, True, None, "a\\b'c", [1, 2], ["x", "y,z"], [1.5], []]
    sql = "select $1 + 0, $2 + 0, $3 + 0, $4 + 0, $5, $6, $7, $8::int[], $9::text[], $10::float8[], $11::int[]"
    [row] = run_query(client, analyst, sql, parameters=values).json()["rows"]
    assert row == [1, 2**40, str(2**70), 1.5, True, None, "a\\b'c", [1, 2], ["x", "y,z"], [1.5], []]


def test_query_is_audited_before_it_runs(service_home: ServiceHome, client: TestClient, analyst: User):
    def events() -> list[Any]:
        return service_home.run(
            "select username, detail from service.audit_events where event = 'analyst_query_submitted'"
            " and username = :name order by event_id",
            name=analyst.username,
        )

    refused = "select * from service.accounts"
    long = "select 1 -- " + "é" * 19_000
    for sql in (refused, long, "select 1 --\x00"):
        run_query(client, analyst, sql)
    recorded = [detail for _, detail in events()]
    assert [detail["sql"] for detail in recorded] == [refused, long[:4_000], "select 1 --\ufffd"]
    assert recorded[1]["sql_characters"] == len(long)
    assert recorded[1]["sql_sha256"] == hashlib.sha256(long.encode()).hexdigest()
    run_query(client, analyst, "select $1", parameters=["private"])
    assert "private" not in str(events())
