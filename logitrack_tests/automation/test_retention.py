"""Old runs go; what the newest materialisations and checks rest on stays."""

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


def test_only_what_is_superseded_is_removed(tmp_path: Path) -> None:
    assets: list[AssetsDefinition] = [months, model]
    with DagsterInstance.local_temp() as instance:
        superseded = materialize([months], partition_key="2019-01", instance=instance).run_id
        kept = [
            materialize([months], partition_key="2019-01", instance=instance).run_id,
            materialize([months], partition_key="2019-02", instance=instance).run_id,
            materialize([model, sound], instance=instance).run_id,
        ]
        old = unrelated.execute_in_process(instance=instance).run_id
        for run_id in (superseded, old, kept[0]):
            (tmp_path / run_id).mkdir()
        check = AssetCheckKey(AssetKey("model"), "sound")
        future = datetime.now(UTC) + timedelta(seconds=5)

        assert remove_old_runs(instance, datetime(2000, 1, 1, tzinfo=UTC), tmp_path, [check]) == 0
        assert remove_old_runs(instance, future, tmp_path, [check]) == 2

        assert {run.run_id for run in instance.get_runs()} == set(kept)
        assert [folder.name for folder in tmp_path.iterdir()] == [kept[0]]
        assert instance.get_materialized_partitions(AssetKey("months")) == {"2019-01", "2019-02"}
        assert all(instance.get_latest_materialization_event(item.key) for item in assets)
        assert remove_old_runs(instance, future, tmp_path, [check]) == 0


def test_old_requests_go_and_new_ones_stay(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MAX_DELETE_ROWS", 7)  # several rounds
    engine = create_engine(database_url)
    now = datetime.now(UTC)
    with engine.begin() as connection:
        for age in [*range(300, 320), *range(20)]:
            moment = {"at": now - timedelta(days=age)}
            connection.execute(text("insert into service.audit_events (at, event) values (:at, 'login')"), moment)
    removed = retention.remove_old_requests(database_url, now - timedelta(days=100))
    assert removed == {"predictions": 0, "outcomes": 0, "audit_events": 20}
    with engine.connect() as connection:
        left = connection.execute(text("select count(*), min(at) from service.audit_events")).one()
    engine.dispose()
    assert left[0] == 20
    assert left[1] > now - timedelta(days=21)
