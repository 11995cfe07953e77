"""Live states in PostgreSQL: the sequence of outcomes that all workers learn, and stored states to begin from.

The state of a version at a position depends on nothing but the state that was stored first for the version, and the
outcomes up to the position. Every worker learns them by itself; what is stored in between shortens the way after a
restart and for a recomputation.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_assets.eta.live import (
    MAX_OUTCOME_AGE_DAYS,
    STATE_FORMAT,
    LiveOutcomes,
    LiveState,
    PreparedOutcomes,
    describe_state,
    dump_state,
    load_state,
)
from logitrack_assets.eta.variant import Variant

MAX_ROWS = 1_000  # outcomes of one statement
MAX_REPLAYED_OUTCOMES = 20_000
"""Outcomes that a version without a state learns first, the newest of MAX_OUTCOME_AGE_DAYS: about two seconds."""
SAVE_AFTER_OUTCOMES = 1_000
"""Outcomes after which a state is stored, if the last one is an hour old; any outcome, if it is a day old."""
UNLOGGED_PREDICTION_LIMIT = "1 hour"
"""Age of an outcome after which it is no longer expected that the log of predictions receives its prediction."""

_ADVISORY_LOCK = 0x1061_7AC6  # an arbitrary key; no other lock of the project uses it

_ASSIGN = """
    update service.outcomes o
    set live_position = case when judged.counted then nextval('service.live_positions') else 0 end
    from (
        select prediction_id, account_id, evaluated.counted
        from (
            select prediction_id, account_id from service.outcomes
            where live_position is null order by reported_at limit %(rows)s
        ) pending join service.evaluated_outcomes evaluated using (prediction_id, account_id)
    ) judged
    where o.prediction_id = judged.prediction_id and o.account_id = judged.account_id and o.live_position is null
"""
_GIVE_UP = f"""
    update service.outcomes set live_position = 0
    where live_position is null and reported_at < now() - interval '{UNLOGGED_PREDICTION_LIMIT}'
        and not exists (
            select from service.predictions p
            where p.prediction_id = outcomes.prediction_id and p.account_id = outcomes.account_id
        )
"""
_FIRST_POSITION = """
    select coalesce(
        (select min(live_position) - 1 from (
            select live_position from service.outcomes
            where live_position > 0 and reported_at > now() - make_interval(days => %(days)s)
            order by live_position desc limit %(rows)s
        ) recent),
        (select max(live_position) from service.outcomes where live_position > 0),
        0
    )
"""
_OUTCOMES = """
    select live_position, account_id, fleet, pickup_zone, dropoff_zone, extract(epoch from pickup_at)::bigint,
           distance_miles, real_minutes, extract(epoch from ended_at)::float8, extract(epoch from reported_at)::float8,
           case when model_version = %(version)s then ln(answered_minutes::float8 / base_minutes) end
    from service.live_outcomes
    where live_position > 0 and live_position > %(after)s and live_position <= %(until)s
    order by live_position limit %(rows)s
"""
_INSERT_STATE = """
    insert into service.live_states (model_version, format, position, state, summary)
    values (%(version)s, %(format)s, %(position)s, %(state)s, %(summary)s) on conflict do nothing
"""
_LAST_POSITION = 2**62


@dataclass(frozen=True)
class LiveSnapshot:
    """A state that no longer changes, and the position of the last outcome that it has learned."""

    state: LiveState
    position: int

    @property
    def switches(self) -> list[bool]:
        """Whether the correction of each variant is applied."""
        return [part.safety.enabled for part in self.state.variants.values()]


def assign_positions(connection: psycopg.Connection[Any]) -> int:
    """Give the outcomes that count their places in the sequence; return how many outcomes are still undecided.

    Outcomes whose prediction is not in the log yet stay undecided.
    """
    if not _pending(connection):
        return 0
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        connection.execute(_ASSIGN, {"rows": MAX_ROWS})
        connection.execute(_GIVE_UP)
    return _pending(connection)


def _pending(connection: psycopg.Connection[Any]) -> int:
    statement = "select count(*) from (select from service.outcomes where live_position is null limit %s) pending"
    return _number(connection, statement, [MAX_ROWS])


def load_snapshot(
    connection: psycopg.Connection[Any], version: str, *, until: int = _LAST_POSITION
) -> LiveSnapshot | None:
    """Return the newest stored state of a version that has not learned beyond a position, None if there is none.

    Raises:
        LiveStateError: The stored state is damaged.
    """
    row = connection.execute(
        "select state, position from service.live_states"
        " where model_version = %s and format = %s and position <= %s order by position desc limit 1",
        [version, STATE_FORMAT, until],
    ).fetchone()
    return None if row is None else LiveSnapshot(load_state(bytes(row[0])), int(row[1]))


def begin_snapshot(connection: psycopg.Connection[Any], version: str) -> LiveSnapshot:
    """Return the newest stored state of a version; for a new version, store an empty one before the recent outcomes.

    A new champion therefore begins with what the last weeks would have taught it. All workers begin with the same
    state: the first one to come decides.
    """
    found = load_snapshot(connection, version)
    if found is not None:
        return found
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        found = load_snapshot(connection, version)
        if found is not None:
            return found
        first = _number(connection, _FIRST_POSITION, {"days": int(MAX_OUTCOME_AGE_DAYS), "rows": MAX_REPLAYED_OUTCOMES})
        begun = LiveSnapshot(LiveState(), first)
        _insert(connection, version, begun)
    return begun


def advance_snapshot(
    connection: psycopg.Connection[Any],
    predictor: Predictor,
    snapshot: LiveSnapshot,
    *,
    until: int = _LAST_POSITION,
) -> LiveSnapshot:
    """Return the state after the next outcomes, at most MAX_ROWS and up to a position; the same one if there are none.

    Args:
        connection: To the database of the service.
        predictor: The model of the state.
        snapshot: The state to go on from; it does not change.
        until: Position of the last outcome to learn.
    """
    rows = connection.execute(
        _OUTCOMES, {"after": snapshot.position, "until": until, "rows": MAX_ROWS, "version": predictor.version}
    ).fetchall()
    if not rows:
        return snapshot
    position, account, fleet, pickup, dropoff, pickup_at, miles, minutes, ended, arrived, answered = zip(
        *rows, strict=True
    )
    trips = TripBatch(
        np.array(pickup, dtype=np.int16),
        np.array(dropoff, dtype=np.int16),
        np.array(pickup_at, dtype=np.int64).astype("datetime64[s]"),
        _numbers(miles).astype(np.float32),
        np.array([FLEETS.index(name) for name in fleet], dtype=np.int8),
    )
    answered_log, known = _numbers(answered), trips.distance_known
    outcomes = LiveOutcomes(
        trips,
        np.array(minutes, dtype=np.float64),
        np.array(ended, dtype=np.float64),
        np.array(arrived, dtype=np.float64),
        np.array(account, dtype=np.int64),
        {
            Variant.ZONES: np.where(known, np.nan, answered_log),
            Variant.DISTANCE: np.where(known, answered_log, np.nan),
        },
    )
    state = snapshot.state.copy()
    state.learn(PreparedOutcomes.from_model(predictor, outcomes))
    return LiveSnapshot(state, int(position[-1]))


def recompute_snapshot(connection: psycopg.Connection[Any], predictor: Predictor, position: int) -> LiveSnapshot | None:
    """Return the state of a version at a position, None if what it is made of is not kept any more."""
    snapshot = load_snapshot(connection, predictor.version, until=position)
    while snapshot is not None and snapshot.position < position:
        later = advance_snapshot(connection, predictor, snapshot, until=position)
        if later is snapshot:
            return None
        snapshot = later
    return snapshot


def save_snapshot_if_due(connection: psycopg.Connection[Any], version: str, snapshot: LiveSnapshot) -> bool:
    """Store a state if the last stored one of its version is old, or if a safety switch has moved since.

    Returns:
        Whether it was stored.
    """
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [_ADVISORY_LOCK])
        row = connection.execute(
            "select %(position)s - position, created_at < now() - interval '1 hour',"
            " created_at < now() - interval '1 day', summary"
            " from service.live_states where model_version = %(version)s and format = %(format)s"
            " order by position desc limit 1",
            {"position": snapshot.position, "version": version, "format": STATE_FORMAT},
        ).fetchone()
        if row is not None:
            learned, hour_old, day_old, summary = row
            switched = [summary[variant.value]["enabled"] for variant in snapshot.state.variants] != snapshot.switches
            due = switched or (learned >= SAVE_AFTER_OUTCOMES and hour_old) or (day_old and learned > 0)
            if learned <= 0 or not due:
                return False
        _insert(connection, version, snapshot)
    return True


def disabled_variants(connection: psycopg.Connection[Any], version: str) -> list[str]:
    """Return the variants of a version whose correction the safety switch has turned off; the stored state tells."""
    row = connection.execute(
        "select summary from service.live_states where model_version = %s and format = %s"
        " order by position desc limit 1",
        [version, STATE_FORMAT],
    ).fetchone()
    if row is None:
        return []
    return [variant.value for variant in Variant if not row[0][variant.value]["enabled"]]


def _insert(connection: psycopg.Connection[Any], version: str, snapshot: LiveSnapshot) -> None:
    connection.execute(
        _INSERT_STATE,
        {
            "version": version,
            "format": STATE_FORMAT,
            "position": snapshot.position,
            "state": dump_state(snapshot.state),
            "summary": json.dumps(describe_state(snapshot.state)),
        },
    )


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Return values as float64, NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _number(connection: psycopg.Connection[Any], statement: str, parameters: Any) -> int:
    row = connection.execute(statement, parameters).fetchone()
    assert row is not None
    return int(row[0])
