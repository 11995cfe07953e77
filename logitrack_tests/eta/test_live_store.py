"""Live states in PostgreSQL: one sequence of outcomes, the same state for every worker, and recomputation."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from logitrack_assets.database import psycopg_dsn
from logitrack_assets.eta import live_store
from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.live import dump_state
from logitrack_assets.eta.live_store import (
    LiveSnapshot,
    advance_snapshot,
    assign_positions,
    begin_snapshot,
    load_snapshot,
    recompute_snapshot,
    save_snapshot_if_due,
)
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_tests.eta.examples import publish_version

NOW = datetime.now(UTC)


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(psycopg_dsn(database_url), autocommit=True) as opened:
        opened.execute(
            "insert into service.accounts (username, normalized_username, password_hash, vouched)"
            " values ('ada', 'ada', '', true), ('mallory', 'mallory', '', false)"
        )
        yield opened


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    models = ModelRegistry(tmp_path / "models")
    return models.load(publish_version(models, zones=12.0))


def report(
    connection: psycopg.Connection,
    count: int,
    minutes: float,
    *,
    account: int = 1,
    logged: bool = True,
    hours_ago: float = 1.0,
) -> list[str]:
    """Store outcomes of rides between two zones that are 12 minutes apart, and their predictions."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    pickup = NOW - timedelta(hours=hours_ago)
    with connection.cursor() as cursor:
        if logged:
            cursor.executemany(
                "insert into service.predictions values (%s, %s, %s, 'v1', 'yellow', 161, 236,"
                " %s at time zone 'America/New_York', null, 12, 8, 18, 0.8, 400, false)",
                [(given, pickup, account, pickup) for given in ids],
            )
        cursor.executemany(
            "insert into service.outcomes (prediction_id, account_id, duration_minutes) values (%s, %s, %s)",
            [(given, account, minutes) for given in ids],
        )
    return ids


def positions(connection: psycopg.Connection, ids: list[str]) -> list[int | None]:
    rows = connection.execute(
        "select live_position from service.outcomes where prediction_id = any(%s::uuid[]) order by live_position", [ids]
    ).fetchall()
    return [row[0] for row in rows]


def catch_up(connection: psycopg.Connection, predictor: Predictor) -> LiveSnapshot:
    snapshot = begin_snapshot(connection, predictor.version)
    while (later := advance_snapshot(connection, predictor, snapshot)) is not snapshot:
        snapshot = later
    return snapshot


def test_only_outcomes_that_count_get_a_place(connection: psycopg.Connection) -> None:
    counted, unvouched = report(connection, 3, 9.0), report(connection, 2, 9.0, account=2)
    absurd, unlogged = report(connection, 2, 0.1), report(connection, 1, 9.0, logged=False)
    assert assign_positions(connection) == 1, "the outcome whose prediction is not in the log yet"
    assert positions(connection, counted) == [1, 2, 3]
    assert positions(connection, unvouched) == positions(connection, absurd) == [0, 0]
    assert positions(connection, unlogged) == [None]
    connection.execute("update service.outcomes set reported_at = reported_at - interval '2 hours'")
    assert assign_positions(connection) == 0
    assert positions(connection, unlogged) == [0]


def test_every_worker_has_the_same_state(connection: psycopg.Connection, predictor: Predictor) -> None:
    report(connection, 40, 9.0)
    assign_positions(connection)
    first = catch_up(connection, predictor)
    report(connection, 30, 18.0)
    assign_positions(connection)
    in_two_steps = advance_snapshot(connection, predictor, first)
    at_once = catch_up(connection, predictor)
    assert in_two_steps.position == at_once.position == 70
    assert dump_state(in_two_steps.state) == dump_state(at_once.state)
    assert first.position == 40
    assert first.state.learned == 40, "a published state does not change"


def test_rows_of_one_statement_do_not_matter(
    connection: psycopg.Connection, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(connection, 50, 9.0)
    assign_positions(connection)
    whole = catch_up(connection, predictor)
    monkeypatch.setattr(live_store, "MAX_ROWS", 7)
    assert dump_state(catch_up(connection, predictor).state) == dump_state(whole.state)


def test_a_state_is_stored_when_due_and_used_after_a_restart(
    connection: psycopg.Connection, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = predictor.version
    report(connection, 50, 9.0)
    assign_positions(connection)
    whole = catch_up(connection, predictor)
    assert not save_snapshot_if_due(connection, version, whole), "few outcomes, and the last state is new"
    connection.execute("update service.live_states set created_at = created_at - interval '25 hours'")
    assert save_snapshot_if_due(connection, version, whole)
    assert not save_snapshot_if_due(connection, version, whole), "one worker stores it, the others find it"
    stored = load_snapshot(connection, version)
    assert stored is not None
    assert (stored.position, dump_state(stored.state)) == (50, dump_state(whole.state))


def test_a_switch_that_moves_is_stored_at_once(connection: psycopg.Connection, predictor: Predictor) -> None:
    report(connection, 5, 9.0)
    assign_positions(connection)
    snapshot = catch_up(connection, predictor)
    for part in snapshot.state.variants.values():
        part.safety.enabled = False
    assert save_snapshot_if_due(connection, predictor.version, snapshot)
    summary = connection.execute("select summary from service.live_states order by position desc").fetchone()
    assert summary is not None
    assert summary[0]["zones"]["enabled"] is False


def test_a_new_version_begins_with_the_recent_outcomes(
    connection: psycopg.Connection, predictor: Predictor, tmp_path: Path
) -> None:
    old = report(connection, 10, 30.0)
    assign_positions(connection)
    connection.execute(
        "update service.outcomes set reported_at = reported_at - interval '40 days' where prediction_id = any(%s)",
        [[uuid.UUID(given) for given in old]],
    )
    report(connection, 60, 9.0)
    assign_positions(connection)
    models = ModelRegistry(tmp_path / "other")
    successor = models.load(publish_version(models, zones=6.0))
    assert catch_up(connection, successor).state.learned == 60
    assert catch_up(connection, predictor).state.learned == 60, "each version has a state of its own"


def test_a_state_of_any_position_can_be_recomputed(connection: psycopg.Connection, predictor: Predictor) -> None:
    report(connection, 30, 9.0)
    assign_positions(connection)
    at_30 = catch_up(connection, predictor)
    report(connection, 30, 18.0)
    assign_positions(connection)
    catch_up(connection, predictor)
    recomputed = recompute_snapshot(connection, predictor, 30)
    assert recomputed is not None
    assert dump_state(recomputed.state) == dump_state(at_30.state)
    connection.execute("delete from service.live_states")
    assert recompute_snapshot(connection, predictor, 30) is None


def test_a_state_of_another_format_is_left_alone(
    connection: psycopg.Connection, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_snapshot(connection, predictor.version)
    connection.execute("update service.live_states set format = 99, state = 'nonsense'")
    assert load_snapshot(connection, predictor.version) is None
    assert begin_snapshot(connection, predictor.version).state.learned == 0
