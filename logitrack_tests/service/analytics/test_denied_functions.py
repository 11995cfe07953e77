"""Functions that analysts' queries may and may not call."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from logitrack_assets.database.function_privileges import ALLOWED_VOLATILE_FUNCTIONS
from logitrack_tests.service.conftest import ServiceHome, User

DENIED = [
    # write to the log of transactions, large objects, sequences, statistics or slots
    "select pg_logical_emit_message(false, 'x', repeat('x', 1000000))",
    "select pg_logical_emit_message(true, 'x', 'y')",
    "select pg_create_logical_replication_slot('x', 'test_decoding')",
    "select pg_create_physical_replication_slot('x')",
    "select pg_drop_replication_slot('x')",
    "select pg_create_restore_point('x')",
    "select pg_switch_wal()",
    "select lo_from_bytea(0, 'x')",
    "select lo_put(1, 0, 'x')",
    "select lo_get(1)",
    "select lo_create(0)",
    "select lo_unlink(1)",
    "select lo_export(1, '/tmp/x')",
    "select setval('service.audit_events_event_id_seq', 1)",
    "select txid_current()",
    "select pg_current_xact_id()",
    "select pg_stat_reset()",
    "select pg_stat_clear_snapshot()",
    "select pg_clear_relation_stats('analytics', 'trips')",
    "select brin_summarize_new_values('warehouse.analytics_sample_pickup_at'::regclass)",
    # run a text
    "select * from ts_stat('select to_tsvector(''a'')')",
    "select ts_rewrite('a'::tsquery, 'select ''a''::tsquery, ''b''::tsquery')",
    "select query_to_xml('select 1', true, true, '')",
    "select query_to_xmlschema('select 1', true, true, '')",
    "select query_to_xml_and_xmlschema('select 1', true, true, '')",
    "select table_to_xml('analytics.trips', true, true, '')",
    "select schema_to_xml('analytics', true, true, '')",
    "select database_to_xml(true, true, '')",
    "select cursor_to_xml('c', 1, true, true, '')",
    "select * from dblink('', 'select 1') as t (x int)",
    # show other sessions and their queries
    "select query from pg_stat_activity",
    "select * from pg_stat_get_activity(null)",
    "select pg_stat_get_backend_activity(1)",
    "select * from pg_stat_get_backend_idset()",
    "select * from pg_stat_replication",
    "select * from pg_stat_ssl",
    "select * from pg_locks",
    "select * from pg_stat_progress_copy",
    "select * from pg_prepared_xacts",
    "select * from pg_replication_slots",
    "select pg_blocking_pids(1)",
    # affect other sessions
    "select pg_terminate_backend(1)",
    "select pg_cancel_backend(1)",
    "select pg_notify('logitrack_revocations', 'x')",
    "select pg_advisory_lock(1)",
    "select pg_try_advisory_lock(1)",
    "select pg_advisory_xact_lock_shared(1)",
    "select pg_export_snapshot()",
    "select pg_log_backend_memory_contexts(1)",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    # change the limits of the session
    "select set_config('statement_timeout', '0', false)",
    "select set_config('temp_file_limit', '-1', false)",
    "select set_config('default_transaction_read_only', 'off', false)",
    # read files
    "select pg_read_file('PG_VERSION')",
    "select pg_read_binary_file('PG_VERSION')",
    "select * from pg_ls_dir('.')",
    "select * from pg_ls_waldir()",
    "select * from pg_ls_logdir()",
    "select * from pg_ls_tmpdir()",
    "select pg_stat_file('PG_VERSION')",
    "select pg_current_logfile()",
    "select * from pg_hba_file_rules",
    "select * from pg_file_settings",
    "select * from pg_config",
    "select * from pg_backend_memory_contexts",
    "select * from pg_control_system()",
    "select pg_database_size(current_database())",
    "select pg_sleep(1)",
    "select pg_sleep_for('1 second')",
]


def run_query(client: TestClient, user: User, sql: str, **more: Any) -> Any:
    return client.post("/analytics/query", json={"sql": sql, **more}, headers=user.headers)


@pytest.mark.parametrize("sql", DENIED)
def test_function_with_side_effects_is_denied(service_home: ServiceHome, client: TestClient, analyst: User, sql: str):
    [(before,)] = service_home.run("select pg_current_wal_insert_lsn()")
    response = run_query(client, analyst, sql)
    assert response.status_code == 400, response.text
    assert "denied" in (detail := response.json()["detail"]) or "does not exist" in detail or "syntax" in detail, detail
    [(written,)] = service_home.run("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :before)", before=before)
    assert written < 500_000


def test_wrapping_a_denied_function_changes_nothing(client: TestClient, analyst: User):
    for sql in (
        "select * from (select pg_logical_emit_message(false, 'x', 'y')) as t",
        "with t as materialized (select txid_current() as id) select id from t",
        "select 1 where pg_notify('x', 'y') is not null",
        "select 1 order by (select count(*) from pg_stat_activity)",
        "select * from pg_catalog.pg_stat_get_activity(pg_backend_pid())",
        "select * from analytics.run_prepared(array['select 1'], false, 1000)",
        "select * from analytics.run_prepared('{}', false, 2147483647)",
        "update pg_settings set setting = '0' where name = 'statement_timeout' returning 1",
    ):
        assert run_query(client, analyst, sql).status_code == 400, sql


def test_every_volatile_function_is_denied_but_the_listed_ones(service_home: ServiceHome, client: TestClient):
    allowed = service_home.run(
        "select distinct proname from pg_proc join pg_namespace n on n.oid = pronamespace"
        " where provolatile = 'v' and nspname not in ('analytics')"
        " and has_function_privilege('logitrack_analyst', pg_proc.oid, 'execute')"
    )
    assert {name for (name,) in allowed} <= set(ALLOWED_VOLATILE_FUNCTIONS)
    assert {"random", "gen_random_uuid", "clock_timestamp"} <= {name for (name,) in allowed}


@pytest.mark.parametrize(
    "sql",
    [
        "select random() < 2, gen_random_uuid() is not null, clock_timestamp() > now()",
        "select count(*) from trips tablesample system (10) -- through the view",
        "select json_agg(t) from (select * from zones limit 3) as t",
        "select string_agg(fleet, ',' order by fleet), array_agg(distinct month) from months",
        "select percentile_cont(0.5) within group (order by duration_minutes) from trips",
        "select to_char(date_trunc('month', pickup_at), 'YYYY-MM') as m, count(*) from trips group by 1 order by 1",
        "select rank() over (partition by fleet order by trips desc), regexp_replace(fleet, 'l+', 'L') from hours",
        "with recursive n (i) as (select 1 union all select i + 1 from n where i < 10) select sum(i) from n",
        "select current_setting('statement_timeout'), pg_backend_pid() > 0, version() is not null",
        "select column_name from information_schema.columns where table_schema = 'analytics'",
        "select jsonb_path_query('{\"a\": [1, 2]}', '$.a[*]'), width_bucket(5, 0, 10, 5)",
        "select hashtext('a'), md5('a'), to_tsvector('a b') @@ to_tsquery('a'), pg_typeof(1)::text",
    ],
)
def test_ordinary_sql_works(client: TestClient, analyst: User, sql: str):
    response = run_query(client, analyst, sql)
    if "tablesample" in sql:  # only tables have samples; the message is about that, not about a privilege
        assert "TABLESAMPLE" in response.json()["detail"]
    else:
        assert response.status_code == 200, response.text


def test_queries_of_other_analysts_are_invisible(client: TestClient, analyst: User):
    for view in ("pg_stat_activity", "pg_stat_statements", "pg_locks"):
        assert run_query(client, analyst, f"select * from {view}").status_code == 400
    result = run_query(client, analyst, "select statement from pg_prepared_statements").json()
    assert all("pg_prepared_statements" in statement for (statement,) in result["rows"]), "only of its own session"
