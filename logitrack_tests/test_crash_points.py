"""A process that is killed, or loses power, at any durable operation leaves one complete version.

Each scenario is an operation on the lake, the registry, the keys or the database. It is killed once at each of its
crash points; then readers look at what is there, and the next run of the same operation ends what was begun.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import create_engine, make_url, text

from logitrack_assets.database import migrate, psycopg_dsn
from logitrack_assets.eta.artifact import PredictionBatch
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.gate_records import GateRecord, read_gates, record_gates
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.shadow import ShadowFile
from logitrack_assets.eta.signed_registry import signed_registry
from logitrack_assets.files import read_json, write_json
from logitrack_assets.home import load_or_create_instance_id, read_instance_id
from logitrack_assets.lake import MANIFEST, RECEIPT, Lake, exchange, publication
from logitrack_assets.settings import Settings
from logitrack_assets.trips import month as cleaning
from logitrack_assets.trips.ingest import ingest_file
from logitrack_assets.trips.source import PublishedFile, Source, file_name
from logitrack_assets.trips.source.http_server import HttpFiles
from logitrack_assets.warehouse import Warehouse
from logitrack_service.auth.keys import Keys, load_or_create_key
from logitrack_service.database import connect
from logitrack_service.predictions.identifiers import PredictionIds
from logitrack_service.predictions.outcomes import OutcomeRecorder
from logitrack_service.predictions.prediction_log import LoggedPredictions, PredictionLog
from logitrack_service.predictions.promotions import record_promotions
from logitrack_service.predictions.quotas import PredictionQuotas
from logitrack_service.predictions.schemas import OutcomeReport
from logitrack_tests.crash_points import check_each_crash, durable_sites, run_to_the_end
from logitrack_tests.data import extracts_folder
from logitrack_tests.service.models import publish_model

MONTH, FLEET = "2023-01", "green"
WORK = f"month-{MONTH}"
KEY_BYTES, INSTANCE_ID_CHARACTERS = 64, 32
DATABASE, IDS = "database_url", "ids.json"
ACCOUNT, ROWS = 1, 3
PREDICTION_IDS = PredictionIds(Keys(current="tests", by_id={"tests": b"a key for tests only, of 32 bytes"}))


def nothing(home: Path) -> None:
    """Prepare or check nothing."""


@dataclass(frozen=True)
class Scenario:
    """An operation that is killed.

    Attributes:
        prepare: Makes the state before it in a home folder.
        operation: What is killed, and what the next process does again.
        check: Examines what readers find, directly after the kill.
        check_finished: Examines what is there after the next process, and that nothing is left over.
        killed: What is killed, where it is not `operation`.
        prepare_run: Makes what each run needs of its own.
    """

    prepare: Callable[[Path], None]
    operation: Callable[[Path], None]
    check: Callable[[Path], None]
    check_finished: Callable[[Path], None]
    killed: Callable[[Path], None] | None = None
    prepare_run: Callable[[Path], None] = nothing


# The lake: silver and rejected rows of a month are one version.


def places(lake: Lake) -> dict[str, Path]:
    return {"silver": lake.silver(MONTH), "rejected": lake.rejected(MONTH)}


def publish_month(home: Path, version: str = "new") -> None:
    lake = Lake(home)
    lake.recover()
    with lake.lock(WORK):
        staged = lake.clear_staging(WORK)
        for part in places(lake):
            (staged / part).mkdir(parents=True)
            (staged / part / "0.parquet").write_text(version)
            write_json(staged / part / MANIFEST, {"version": version})
        lake.publish_together(staged, places(lake), version)


def publish_old_month(home: Path) -> None:
    publish_month(home, "old")


def publish_month_by_renames(home: Path) -> None:
    with mock.patch.object(exchange, "_exchange", return_value=False):
        publish_month(home)


def begin_month(home: Path) -> None:
    """Leave a publication that was decided and not finished."""
    publish_old_month(home)
    with (
        mock.patch.object(publication, "swap_folders", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        publish_month(home)


def begin_renames(home: Path) -> None:
    """Leave a publication between its first two renames."""
    publish_old_month(home)
    silver = Lake(home).silver(MONTH)
    silver.rename(silver.with_name(silver.name + exchange.REPLACED))


def recover_lake(home: Path) -> None:
    Lake(home).recover()


def recover_lake_by_renames(home: Path) -> None:
    with mock.patch.object(exchange, "_exchange", return_value=False):
        recover_lake(home)


def versions_of_folders(home: Path) -> list[str | None]:
    """Return the version of the month's folders, None for one that is missing; each is complete."""
    found: list[str | None] = []
    for folder in places(Lake(home)).values():
        version = (read_json(folder / MANIFEST) or {}).get("version")
        assert (version is None) == (not folder.exists())
        assert version is None or (folder / "0.parquet").read_text() == version
        found.append(version)
    return found


def check_old_or_new_month(home: Path) -> None:
    assert set(versions_of_folders(home)) <= {"old", "new"}
    copy = home.with_name(f"{home.name}-recovered")
    shutil.copytree(home, copy)
    Lake(copy).recover()
    assert versions_of_folders(copy) in (["old", "old"], ["new", "new"])
    # A process that opened the lake before the kill goes on without recovery: it must not undo what was decided.
    shutil.rmtree(copy)
    shutil.copytree(home, copy)
    Lake(copy).clear_staging(WORK)
    publication.restore_replaced(Lake(copy).root)
    assert versions_of_folders(copy) in (["old", "old"], ["new", "new"])
    shutil.rmtree(copy)


def check_first_month(home: Path) -> None:
    assert set(versions_of_folders(home)) <= {None, "new"}
    Lake(home).recover()
    assert versions_of_folders(home) in ([None, None], ["new", "new"])


def check_partly_renamed_month(home: Path) -> None:
    assert set(versions_of_folders(home)) <= {None, "old", "new"}
    Lake(home).recover()
    check_old_or_new_month(home)


def check_old_month(home: Path) -> None:
    assert versions_of_folders(home) == ["old", "old"]


def check_partly_restored_month(home: Path) -> None:
    assert versions_of_folders(home) in ([None, "old"], ["old", "old"])


def check_new_month(home: Path) -> None:
    assert versions_of_folders(home) == ["new", "new"]
    assert not list((home / "lake" / ".staging").glob("*"))
    assert not list(home.rglob(f"*{exchange.REPLACED}"))


def check_recovered_month(home: Path) -> None:
    Lake(home).clear_staging(WORK)  # as the next cleaning does: a killed removal may have left files
    check_new_month(home)


def record_checks(home: Path) -> None:
    Lake(home).record_check_results(MONTH, "old", {"second": ["bad"]})


def publish_month_with_checks(home: Path) -> None:
    publish_old_month(home)
    Lake(home).record_check_results(MONTH, "old", {"first": []})


def check_recorded_checks(home: Path) -> None:
    assert Lake(home).check_results(MONTH) in ({"first": []}, {"first": [], "second": ["bad"]})


def check_all_checks(home: Path) -> None:
    assert Lake(home).check_results(MONTH) == {"first": [], "second": ["bad"]}


# Bronze and cleaning: real files, Spark replaced by a copy of rows.


def publish_source(home: Path, rows: int) -> None:
    folder = home / "source" / "trip-data"
    folder.mkdir(parents=True, exist_ok=True)
    name = file_name(FLEET, MONTH)
    pq.write_table(pq.read_table(extracts_folder() / "trip-data" / name).slice(0, rows), folder / name)


def ingest(home: Path) -> None:
    ingest_file(Lake(home), Source(str(home / "source")), FLEET, MONTH, lambda text: None)


def ingest_over_http(home: Path) -> None:
    """Ingest through the code that keeps partial downloads, without a server."""
    stored = home / "source" / "trip-data" / file_name(FLEET, MONTH)

    def head(files: HttpFiles, url: str) -> PublishedFile:
        return PublishedFile(url, stored.stat().st_size, f'"{stored.stat().st_size}"')

    def receive(files: HttpFiles, published: PublishedFile, target: Path) -> None:
        if not target.exists() or target.stat().st_size != published.bytes:
            target.write_bytes(stored.read_bytes())

    with mock.patch.object(HttpFiles, "_head", head), mock.patch.object(HttpFiles, "_receive", receive):
        ingest_file(Lake(home), Source("http://localhost"), FLEET, MONTH, lambda text: None)


def prepare_ingested(home: Path) -> None:
    publish_source(home, 200)
    ingest(home)
    publish_source(home, 300)


def prepare_ingested_over_http(home: Path) -> None:
    publish_source(home, 200)
    ingest_over_http(home)
    publish_source(home, 300)


def bronze_rows(home: Path) -> int:
    """Return the rows of the bronze file, which is that of its receipt."""
    lake = Lake(home)
    receipt, file = lake.receipt(FLEET, MONTH), lake.bronze(FLEET, MONTH) / file_name(FLEET, MONTH)
    assert receipt is not None
    assert hashlib.sha256(file.read_bytes()).hexdigest() == receipt["sha256"]
    assert pq.read_metadata(file).num_rows == receipt["rows"]
    return int(receipt["rows"])


def check_ingested(home: Path) -> None:
    assert bronze_rows(home) in (200, 300)


def check_newly_ingested(home: Path) -> None:
    assert bronze_rows(home) == 300
    # Staging keeps at most one earlier version: an interrupted download is continued, the next one replaces it.
    left = {path.name for path in (home / "lake" / ".staging").rglob("*") if path.is_file()}
    assert left <= {file_name(FLEET, MONTH), RECEIPT}


def clean(home: Path) -> None:
    """Clean the month; every 10th row counts as rejected."""

    def stage(spark: Any, month: Any, files: dict[str, Path], staged: Path) -> None:
        rows = pq.read_metadata(files[FLEET]).num_rows
        rejected = rows // 10
        for part, count in (("silver", rows - rejected), ("rejected", rejected)):
            (staged / part).mkdir(parents=True)
            table = pa.table({"fleet": [FLEET] * count, "rule": ["too_long"] * count})
            pq.write_table(table, staged / part / "0.parquet")

    Lake(home).recover()
    with mock.patch.object(cleaning, "_stage", stage):
        cleaning.clean_month(mock.Mock(), Lake(home), MONTH)


def prepare_cleaned(home: Path) -> None:
    publish_source(home, 200)
    ingest(home)
    clean(home)
    publish_source(home, 300)
    ingest(home)


def cleaned_rows(home: Path) -> int:
    """Return the bronze rows that the month's version was made of, after recovery; all parts state the same."""
    lake = Lake(home)
    lake.recover()
    manifests = [read_json(folder / MANIFEST) for folder in places(lake).values()]
    assert manifests[0] is not None
    assert manifests[0] == manifests[1]
    counts = manifests[0]["rows"][FLEET]
    stored = [pq.read_metadata(folder / "0.parquet").num_rows for folder in places(lake).values()]
    assert stored == [counts["silver"], sum(counts["rejected"].values())]
    return int(counts["bronze"])


def check_cleaned(home: Path) -> None:
    assert cleaned_rows(home) in (200, 300)


def check_newly_cleaned(home: Path) -> None:
    assert cleaned_rows(home) == 300
    assert not list((home / "lake" / ".staging").glob(WORK))


# The registry: versions, the pointer, its history and its key.

OLD_MINUTES, NEW_MINUTES = 10.0, 11.0


def registry(home: Path) -> ModelRegistry:
    return signed_registry(Settings(home=home, database_url=None, registry_key=None))


def publish_new_version(home: Path) -> None:
    models = registry(home)
    if len(models.versions()) == 1:
        publish_model(home, minutes=NEW_MINUTES, number=2)


def promote_newest(home: Path) -> None:
    models = registry(home)
    models.promote(models.versions()[-1], by="ada", reason="better")


def roll_back(home: Path) -> None:
    models = registry(home)
    champion = models.champion()
    if champion is None or champion.version == models.versions()[-1]:
        models.rollback(by="bob", reason="complaints")


def reject_newest(home: Path) -> None:
    models = registry(home)
    models.record_rejection(models.versions()[-1], "too slow")


def record_gate(home: Path, name: str = "second") -> None:
    models = registry(home)
    at = datetime(2019, 8, 1, tzinfo=UTC)
    record = GateRecord(name=name, rule="so", passed=True, reason="so", facts={"trips": 1}, evaluated_at=at)
    record_gates(models, models.versions()[-1], [record])


def begin_shadow(home: Path) -> None:
    models = registry(home)
    ShadowFile(models).begin(models.versions()[-1], by="ada")


def check_shadow(home: Path) -> None:
    shadow = ShadowFile(registry(home)).read()
    assert shadow is None or shadow.version == registry(home).versions()[-1]


def check_begun_shadow(home: Path) -> None:
    check_shadow(home)
    assert ShadowFile(registry(home)).read() is not None


def prepare_recorded_gate(home: Path) -> None:
    prepare_one_version(home)
    record_gate(home, "first")


def recorded_gates(home: Path) -> list[str]:
    models = registry(home)
    return [record.name for record in read_gates(models, models.versions()[-1])]


def check_recorded_gates(home: Path) -> None:
    assert recorded_gates(home) in (["first"], ["first", "second"])


def check_both_gates(home: Path) -> None:
    assert recorded_gates(home) == ["first", "second"]


def prepare_one_version(home: Path) -> None:
    publish_model(home, minutes=OLD_MINUTES, number=1)
    promote_newest(home)


def prepare_two_versions(home: Path) -> None:
    prepare_one_version(home)
    publish_new_version(home)


def prepare_two_champions(home: Path) -> None:
    prepare_two_versions(home)
    promote_newest(home)


def prepare_unsigned_champion(home: Path) -> None:
    publish_model(home, minutes=OLD_MINUTES, number=1)
    models = ModelRegistry(home / "models")
    models.promote(models.versions()[-1], by="ada", reason="first")


def open_registry(home: Path) -> None:
    registry(home).champion()


def check_champion(home: Path) -> None:
    """Check that the champion can be served, is signed, and ends a history without gaps."""
    models = registry(home)
    champion, history = models.champion(), models.history()
    assert champion is not None
    models.load(champion.version)
    assert history[-1] == champion
    assert [entry.previous for entry in history] == [None, *(entry.version for entry in history[:-1])]


def check_versions(home: Path) -> None:
    models = registry(home)
    assert len(models.versions()) in (1, 2)
    for version in models.versions():
        models.load(version)
    check_champion(home)


def check_two_versions(home: Path) -> None:
    check_versions(home)
    assert len(registry(home).versions()) == 2


def check_next_staging(home: Path) -> None:
    """Check that the next staging removes what a killed one left."""
    models = registry(home)
    check_two_versions(home)
    with pytest.raises(KeyboardInterrupt), models.staged(models.versions()[-1]):
        raise KeyboardInterrupt
    assert all(path.is_file() or path.name in models.versions() for path in models.folder.iterdir())


def champion_minutes(home: Path) -> float:
    models = registry(home)
    champion = models.champion()
    assert champion is not None
    trip = TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"], [np.nan])
    return float(models.load(champion.version).predict(trip).minutes[0])


def check_new_champion(home: Path) -> None:
    check_champion(home)
    assert champion_minutes(home) == pytest.approx(NEW_MINUTES)


def check_old_champion(home: Path) -> None:
    check_champion(home)
    assert champion_minutes(home) == pytest.approx(OLD_MINUTES)
    assert registry(home).history()[-1].kind == "rollback"


def check_rejection(home: Path) -> None:
    models = registry(home)
    rejection = models.rejection(models.versions()[-1])
    assert rejection is None or rejection.reason == "too slow"
    check_champion(home)


def check_rejected(home: Path) -> None:
    assert registry(home).listed()[0].status == "rejected"


def check_readable_champion(home: Path) -> None:
    champion = ModelRegistry(home / "models").champion()
    assert champion is not None
    assert [champion.version] == ModelRegistry(home / "models").versions()


def make_keys(home: Path) -> None:
    load_or_create_key(home / "secret_key")
    load_or_create_instance_id(home)


def check_keys(home: Path) -> None:
    """Check that each file is missing or whole."""
    key = home / "secret_key"
    assert not key.exists() or len(load_or_create_key(key)) == KEY_BYTES
    assert read_instance_id(home) is None or len(str(read_instance_id(home))) == INSTANCE_ID_CHARACTERS


def check_lasting_keys(home: Path) -> None:
    before = (home / "secret_key").read_bytes(), read_instance_id(home)
    make_keys(home)
    assert before == ((home / "secret_key").read_bytes(), read_instance_id(home))
    assert len(before[0]) == KEY_BYTES


# PostgreSQL: each operation is one transaction, and sending it again does not count it twice.


def database(home: Path) -> str:
    return (home.parent / DATABASE).read_text(encoding="utf-8")


def fetch(home: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(psycopg_dsn(database(home))) as connection:
        return connection.execute(statement, values).fetchall()


def empty_tables(home: Path) -> None:
    """Empty the tables, and issue the ids that this run uses."""
    with psycopg.connect(psycopg_dsn(database(home))) as connection:
        connection.execute(
            "truncate service.predictions, service.outcomes, service.usage, service.audit_events, warehouse.trip_months"
        )
    write_json(home / IDS, {"ids": PREDICTION_IDS.issue([ACCOUNT] * ROWS)})


def issued_ids(home: Path) -> list[str]:
    return list((read_json(home / IDS) or {})["ids"])


def prepare_month_of_warehouse(home: Path) -> None:
    empty_tables(home)
    load_month(home, 100)


def load_month(home: Path, rows: int = 200) -> None:
    fleets = {"fleet": ["green", "yellow"], "rows_bronze": [rows] * 2, "rows_silver": [rows] * 2}
    table = pa.table(
        {
            "month": [MONTH] * 2,
            **fleets,
            "rows_rejected": [0, 0],
            "published_at": [datetime(2023, 3, 1, tzinfo=UTC)] * 2,
        }
    )
    Warehouse(database(home)).replace_month(MONTH, {"trip_months": table})


def loaded_rows(home: Path) -> list[tuple[Any, ...]]:
    return fetch(home, "select rows_silver from warehouse.trip_months where month = %s order by fleet", MONTH)


def check_loaded_month(home: Path) -> None:
    assert loaded_rows(home) in ([(100,), (100,)], [(200,), (200,)])


def check_newly_loaded_month(home: Path) -> None:
    assert loaded_rows(home) == [(200,), (200,)]


def log_predictions(home: Path) -> None:
    trips = TripBatch.from_columns([161] * ROWS, [236] * ROWS, ["2019-06-03T08:30:00"] * ROWS, [np.nan] * ROWS)
    ones = np.ones(ROWS)
    batch = PredictionBatch(
        minutes=ones * 20,
        base_minutes=ones * 20,
        low=ones * 10,
        high=ones * 30,
        level=0.8,
        support=ones.astype(np.int32),
        extrapolating=ones > 1,
        distance_used_miles=trips.distance_miles,
        distance_given=ones > 1,
    )
    log = PredictionLog(psycopg_dsn(database(home)), PredictionQuotas(max_daily=100, max_open=100))
    log.add(LoggedPredictions(issued_ids(home), [ACCOUNT] * ROWS, "20190801T120000-abcdef", trips, batch, 0.8))
    log.start()
    log.stop()
    assert log.queued_rows == 0


def check_logged(home: Path) -> None:
    """Check that the rows and their count are stored together."""
    (predictions,) = fetch(home, "select count(*) from service.predictions")
    (counted,) = fetch(home, "select coalesce(sum(predictions), 0)::bigint from service.usage")
    assert predictions == counted
    assert predictions in ((0,), (ROWS,))


def check_logged_once(home: Path) -> None:
    check_logged(home)
    assert fetch(home, "select count(*) from service.predictions") == [(ROWS,)]


def record_outcomes(home: Path) -> None:
    async def record() -> None:
        engine = connect(database(home))
        recorder = OutcomeRecorder(engine, PREDICTION_IDS, PredictionQuotas(max_daily=100, max_open=100))
        await recorder.record([OutcomeReport(id_, 20.0) for id_ in issued_ids(home)], account_id=ACCOUNT)
        await engine.dispose()

    asyncio.run(record())


def check_outcomes(home: Path) -> None:
    """Check that the rows and their count are stored together."""
    (outcomes,) = fetch(home, "select count(*) from service.outcomes")
    (counted,) = fetch(home, "select coalesce(sum(outcomes), 0)::bigint from service.usage")
    assert outcomes == counted
    assert outcomes in ((0,), (ROWS,))


def check_recorded_once(home: Path) -> None:
    check_outcomes(home)
    assert fetch(home, "select count(*) from service.outcomes") == [(ROWS,)]


def audit_promotions(home: Path) -> None:
    async def record() -> None:
        engine = connect(database(home))
        await record_promotions(engine, registry(home).history())
        await engine.dispose()

    asyncio.run(record())


def check_audited_promotions(home: Path) -> None:
    assert fetch(home, "select count(*) from service.audit_events") in ([(0,)], [(2,)])


def check_promotions_audited_once(home: Path) -> None:
    assert fetch(home, "select count(*) from service.audit_events") == [(2,)]


LAKE_SCENARIOS = {
    "first publication of a month": Scenario(nothing, publish_month, check_first_month, check_new_month),
    "publication of a month": Scenario(publish_old_month, publish_month, check_old_or_new_month, check_new_month),
    "publication of a month by renames": Scenario(
        publish_old_month, publish_month, check_partly_renamed_month, check_new_month, publish_month_by_renames
    ),
    "recovery of the lake": Scenario(begin_month, recover_lake, check_old_or_new_month, check_recovered_month),
    "recovery of the lake by renames": Scenario(
        begin_month, recover_lake, check_partly_renamed_month, check_recovered_month, recover_lake_by_renames
    ),
    "restoration of a month": Scenario(begin_renames, recover_lake, check_partly_restored_month, check_old_month),
    "results of checks": Scenario(publish_month_with_checks, record_checks, check_recorded_checks, check_all_checks),
    "ingestion of a file": Scenario(prepare_ingested, ingest, check_ingested, check_newly_ingested),
    "ingestion over HTTP": Scenario(prepare_ingested_over_http, ingest_over_http, check_ingested, check_newly_ingested),
    "cleaning of a month": Scenario(prepare_cleaned, clean, check_cleaned, check_newly_cleaned),
}
REGISTRY_SCENARIOS = {
    "publication of a version": Scenario(prepare_one_version, publish_new_version, check_versions, check_next_staging),
    "promotion": Scenario(prepare_two_versions, promote_newest, check_champion, check_new_champion),
    "rollback": Scenario(prepare_two_champions, roll_back, check_champion, check_old_champion),
    "rejection": Scenario(prepare_two_versions, reject_newest, check_rejection, check_rejected),
    "results of gates": Scenario(prepare_recorded_gate, record_gate, check_recorded_gates, check_both_gates),
    "begin of a shadow": Scenario(prepare_two_versions, begin_shadow, check_shadow, check_begun_shadow),
    "first signature": Scenario(prepare_unsigned_champion, open_registry, check_readable_champion, check_champion),
    "keys": Scenario(nothing, make_keys, check_keys, check_lasting_keys),
}
DATABASE_SCENARIOS = {
    "load of a month": Scenario(
        nothing, load_month, check_loaded_month, check_newly_loaded_month, prepare_run=prepare_month_of_warehouse
    ),
    "log of predictions": Scenario(
        nothing, log_predictions, check_logged, check_logged_once, prepare_run=empty_tables
    ),
    "outcomes": Scenario(nothing, record_outcomes, check_outcomes, check_recorded_once, prepare_run=empty_tables),
    "audit of promotions": Scenario(
        prepare_two_champions, audit_promotions, check_audited_promotions, check_promotions_audited_once,
        prepare_run=empty_tables,
    ),
}  # fmt: skip
SCENARIOS = LAKE_SCENARIOS | REGISTRY_SCENARIOS | DATABASE_SCENARIOS

ELSEWHERE = {
    "database.": "test_migrate, test_roles: a start repeats what was not committed",
    "eta.file_scoring.": "the output of a command, put into place as a whole",
    "logitrack_service.analytics.": "one transaction each; the audit event is committed before the query runs",
    "logitrack_service.auth.": "one transaction each; an attempt that was counted and not verified stays counted",
    "logitrack_service.predictions.prediction_log.PredictionLog._refresh": "adds nothing: reads totals",
}
"""Durable calls that no scenario kills, by the beginning of their names, and why."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Path:
    """Return a folder whose subfolders are homes that share a database."""
    folder = tmp_path_factory.mktemp("crash")
    name = f"crash_{uuid.uuid4().hex[:10]}"
    admin = create_engine(postgres, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    admin.dispose()
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    migrate(url)
    (folder / DATABASE).write_text(url)
    return folder


@pytest.mark.parametrize(
    ("name", "power_failure"),
    [(name, False) for name in SCENARIOS] + [(name, True) for name in LAKE_SCENARIOS | REGISTRY_SCENARIOS],
)
def test_crash_at_each_point_leaves_a_complete_version(place: Path, tmp_path: Path, name: str, power_failure: bool):
    scenario = SCENARIOS[name]
    shutil.copy(place / DATABASE, tmp_path)

    def check(home: Path) -> None:
        scenario.check(home)
        scenario.operation(home)
        scenario.check_finished(home)

    kills = check_each_crash(
        tmp_path,
        scenario.prepare,
        scenario.killed or scenario.operation,
        check,
        prepare_run=scenario.prepare_run,
        power_failure=power_failure,
    )
    assert kills > 1


def test_every_durable_call_is_a_crash_point_of_a_scenario(place: Path, tmp_path: Path):
    shutil.copy(place / DATABASE, tmp_path)
    reached: set[str] = set()
    for number, scenario in enumerate(SCENARIOS.values()):
        home = tmp_path / str(number)
        home.mkdir()
        scenario.prepare(home)
        scenario.prepare_run(home)
        reached |= run_to_the_end(scenario.killed or scenario.operation, home).sites
    known = {site.name for site in durable_sites()}
    elsewhere = {name for name in known if name.startswith(tuple(ELSEWHERE))}
    assert known - elsewhere - reached == set(), "durable calls without a scenario"
    assert [start for start in ELSEWHERE if not any(name.startswith(start) for name in known)] == []
