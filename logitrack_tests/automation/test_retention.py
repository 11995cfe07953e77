"""Old runs and requests are removed; runs with a newest materialisation or check result stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from dagster import (
    AssetCheckKey,
    AssetCheckResult,
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    asset,
    asset_check,
    job,
    materialize,
    op,
)
from sqlalchemy import create_engine, text

from logitrack_assets.automation import retention
from logitrack_assets.automation.retention import remove_old_runs
from logitrack_assets.partitions import MONTHS
from logitrack_assets.warehouse import Warehouse


@asset(partitions_def=MONTHS)
def months() -> None: ...


@asset
def model() -> None: ...


@asset_check(asset=model)
def sound() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


@op
def nothing() -> None: ...


@job
def unrelated() -> None:
    nothing()


def test_only_superseded_runs_are_removed_with_their_logs() -> None:
    assets: list[AssetsDefinition] = [months, model]
    with DagsterInstance.local_temp() as instance:
        superseded = materialize([months], partition_key="2019-01", instance=instance).run_id
        kept = [
            materialize([months], partition_key="2019-01", instance=instance).run_id,
            materialize([months], partition_key="2019-02", instance=instance).run_id,
            materialize([model, sound], instance=instance).run_id,
        ]
        old = unrelated.execute_in_process(instance=instance).run_id
        logs = Path(instance.storage_directory())
        assert {superseded, old, *kept} <= {folder.name for folder in logs.iterdir()}
        check = AssetCheckKey(AssetKey("model"), "sound")
        future = datetime.now(UTC) + timedelta(seconds=5)

        assert remove_old_runs(instance, datetime(2000, 1, 1, tzinfo=UTC), [check]) == 0
        assert remove_old_runs(instance, future, [check]) == 2

        assert {run.run_id for run in instance.get_runs()} == set(kept)
        left = {folder.name for folder in logs.iterdir()}
        assert left >= set(kept)
        assert not left & {superseded, old}
        assert instance.get_materialized_partitions(AssetKey("months")) == {"2019-01", "2019-02"}
        assert all(instance.get_latest_materialization_event(item.key) for item in assets)
        assert remove_old_runs(instance, future, [check]) == 0


def test_only_old_requests_are_removed(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_DELETED_ROWS", 7)  # several transactions
    engine = create_engine(database_url)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for age in [*range(300, 320), *range(20)]:
            moment = {"at": now - timedelta(days=age)}
            connection.execute(text("insert into service.audit_events (at, event) values (:at, 'login')"), moment)
            connection.execute(
                text("insert into service.usage (account_id, day) values (1, cast(:at as date))"), moment
            )
    removed = retention.remove_old_requests(Warehouse(database_url), now - timedelta(days=100))
    assert removed == {"predictions": 0, "outcomes": 0, "live_states": 0, "audit_events": 20, "usage": 20}
    with engine.connect() as connection:
        left = connection.execute(text("select count(*), min(at) from service.audit_events")).one()
    engine.dispose()
    assert left[0] == 20
    assert left[1] > now - timedelta(days=21)
