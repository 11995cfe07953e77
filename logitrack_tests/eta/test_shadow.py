"""A version in shadow is promoted, dropped or called back by the outcomes that count, once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from logitrack_assets.database import psycopg_dsn
from logitrack_assets.eta import shadow as shadow_module
from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live_error import MIN_ACCOUNT_OUTCOMES
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.shadow import Outcomes, Shadow, ShadowFile, compare
from logitrack_tests.service.models import promote_model, publish_model

Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def settled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "SETTLED_SECONDS", 0)


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(psycopg_dsn(database_url), autocommit=True) as open_connection:
        yield open_connection


@pytest.fixture
def models(tmp_path: Path) -> ModelRegistry:
    """A registry whose champion answers 20 minutes."""
    promote_model(tmp_path, minutes=20)
    return ModelRegistry(tmp_path / "models")


def report(connection: Connection, real: float, count: int, *, vouched: bool = True) -> None:
    """Report rides of two hours ago by an account of their own."""
    name = uuid.uuid4().hex
    connection.execute(
        "with account as (insert into service.accounts (username, normalized_username, password_hash, vouched)"
        " values (%(name)s, %(name)s, '', %(vouched)s) returning account_id),"
        " logged as (insert into service.predictions (prediction_id, at, account_id, model_version, fleet,"
        " pickup_zone, dropoff_zone, pickup_at, duration_minutes, low_minutes, high_minutes, level, support,"
        " extrapolating) select gen_random_uuid(), now() - interval '2 hours', account_id, 'any', 'yellow', 236, 161,"
        " (now() - interval '2 hours') at time zone 'America/New_York', 20, 5, 30, 0.8, 9, false"
        " from account, generate_series(1, %(count)s) returning prediction_id, account_id)"
        " insert into service.outcomes (prediction_id, account_id, duration_minutes)"
        " select prediction_id, account_id, %(real)s from logged",
        {"name": name, "vouched": vouched, "count": count, "real": real},
    )


def test_better_challenger_is_promoted_once_and_guarded_by_its_predecessor(
    models: ModelRegistry, connection: Connection
) -> None:
    home = models.folder.parent
    old = models.versions()[0]
    better = publish_model(home, minutes=14, number=2)
    shadow_file = ShadowFile(models)
    assert shadow_file.begin(better, by="operator").result is None
    report(connection, real=15, count=40)
    decided = shadow_file.advance(connection)
    assert decided is not None
    assert decided.result == "better"
    champion = models.champion()
    assert champion is not None
    assert champion.version == better
    assert f"minutes nearer over {decided.outcomes} outcomes than {old}" in champion.reason
    guard = shadow_file.advance(connection)
    assert guard is not None
    assert (guard.version, guard.champion, guard.purpose, guard.outcomes) == (old, better, "recall", 0)
    assert len(models.history()) == 2


def test_promotion_that_was_worse_is_taken_back(models: ModelRegistry, connection: Connection) -> None:
    old = models.versions()[0]
    promote_model(models.folder.parent, minutes=60, number=2)
    shadow_file = ShadowFile(models)
    shadow_file.advance(connection)
    report(connection, real=22, count=60)
    recalled = shadow_file.advance(connection)
    assert recalled is not None
    assert recalled.result == "better"
    champion = models.champion()
    assert champion is not None
    assert (champion.version, champion.kind) == (old, "rollback")
    assert shadow_file.advance(connection) is None, "a recall begins no further comparison"
    assert len(models.history()) == 3


def test_outcomes_that_do_not_count_change_nothing(models: ModelRegistry, connection: Connection) -> None:
    challenger = publish_model(models.folder.parent, minutes=14, number=2)
    shadow_file = ShadowFile(models)
    shadow_file.begin(challenger, by="operator")
    report(connection, real=15, count=50, vouched=False)
    shadow = shadow_file.advance(connection)
    assert shadow is not None
    assert (shadow.outcomes, shadow.result) == (0, None)


def test_outcomes_are_read_once(models: ModelRegistry, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "BATCH_OUTCOMES", 7)
    challenger = publish_model(models.folder.parent, minutes=20.2, number=2)
    shadow_file = ShadowFile(models)
    shadow_file.begin(challenger, by="operator")
    report(connection, real=15, count=20)
    counts = [shadow.outcomes for _ in range(4) if (shadow := shadow_file.advance(connection))]
    assert counts == [7, 14, 20, 20]


def test_worse_challenger_is_dropped_after_its_time(models: ModelRegistry, connection: Connection) -> None:
    champion = models.versions()[0]
    worse = publish_model(models.folder.parent, minutes=30, number=2)
    shadow_file = ShadowFile(models)
    begun = shadow_file.begin(worse, by="operator")
    long_ago = begun.model_copy(update={"since": datetime.now(UTC) - timedelta(days=shadow_module.MAX_SHADOW_DAYS)})
    (models.folder / "shadow.json").write_text(long_ago.model_dump_json())
    dropped = shadow_file.advance(connection)
    assert dropped is not None
    assert dropped.result == "no evidence"
    assert models.listed()[0].status == "rejected"
    assert "shadow: no evidence" in models.listed()[0].reason
    assert models.champion().version == champion  # type: ignore[union-attr]


def test_stopped_comparison_decides_nothing(models: ModelRegistry, connection: Connection) -> None:
    challenger = publish_model(models.folder.parent, minutes=14, number=2)
    shadow_file = ShadowFile(models)
    shadow_file.begin(challenger, by="operator")
    report(connection, real=15, count=50)
    stopped = shadow_file.stop()
    assert stopped is not None
    assert stopped.result == "stopped"
    assert shadow_file.stop() is None
    assert shadow_file.advance(connection) == stopped


def test_champion_and_missing_versions_are_refused(models: ModelRegistry) -> None:
    with pytest.raises(ArtifactError, match="is the champion"):
        ShadowFile(models).begin(models.versions()[0], by="operator")
    with pytest.raises(ArtifactError, match="There is no model"):
        ShadowFile(models).begin("20190801T000000-abcdef", by="operator")


def test_no_account_decides_alone(models: ModelRegistry) -> None:
    """One account reports 2,000 rides that favour the challenger, three others 60 each that do not."""
    challenger = publish_model(models.folder.parent, minutes=20.1, number=2)
    now = datetime.now(UTC)
    begun = Shadow(
        version=challenger, champion=models.versions()[0], purpose="promotion", since=now, by="operator",
        read_through=now,
    )  # fmt: skip
    account = np.concatenate([np.repeat([1, 2, 3], 60), np.repeat(4, 2_000)])
    rides = TripBatch.from_columns(
        np.full(len(account), 236), np.full(len(account), 161), ["2024-05-07T08:30:00"] * len(account)
    )
    outcomes = Outcomes(rides, np.where(account == 4, 60.0, 10.0), account, now, str(uuid.uuid4()))
    ended = compare(begun, outcomes, models.load(begun.champion), models.load(challenger))
    assert ended.result is None
    assert MIN_ACCOUNT_OUTCOMES <= ended.accounts[4] <= ended.outcomes / 3 + 1
    assert ended.accounts[1] == 60
