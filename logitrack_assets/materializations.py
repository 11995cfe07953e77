"""What Dagster's event log records of assets: reading it, and recording one event per month.

Assets and checks read from it which version they act on: in a run the version that this run materialised, also when
another run publishes a newer one meanwhile; otherwise the latest.

A run over a range of months records each month itself (`record_month`), because Dagster would give one data version to
the whole range. The step's outputs, which downstream steps wait for, then record nothing (`output_without_event`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    DataVersion,
    EventLogRecord,
    MaterializeResult,
)
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationPlanned,
    AssetCheckEvaluationTargetMaterializationData,
)
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    DEFAULT_DATA_VERSION,
    NULL_EVENT_POINTER,
    extract_data_version_from_entry,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

VERSION = "version"
"""Metadata entry with the version of what was materialised."""
ERROR = "error"
"""Metadata entry of an observation: why a month was not materialised."""
COLUMN_ENTRIES = ("dagster/column_schema", "dagster/column_lineage")
"""Metadata entries with the columns of a table; a month without its own takes those of the asset's definition."""
UNVERSIONED: DataVersion = DEFAULT_DATA_VERSION
"""Data version of an asset whose new versions do not make what was computed from it out of date."""


def record_month(
    context: AssetExecutionContext, asset: AssetKey, month: str, *, metadata: Mapping[str, Any], data_version: str
) -> None:
    """Record a month of an asset as materialised, with the versions of its inputs, so that it counts as in sync.

    Args:
        context: Of the asset's step.
        asset: The asset.
        month: `YYYY-MM`.
        metadata: What the UI shows of the month.
        data_version: Equal for equal content.
    """
    tags = {
        DATA_VERSION_TAG: data_version,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
        CODE_VERSION_TAG: context.assets_def.code_versions_by_key[asset] or context.run.run_id,
    }
    for parent in context.assets_def.asset_deps[asset]:
        record = _latest_input(context.instance, parent, month)
        version = extract_data_version_from_entry(record.event_log_entry) if record else None
        tags[get_input_data_version_tag(parent)] = (version or DEFAULT_DATA_VERSION).value
        tags[get_input_event_pointer_tag(parent)] = str(record.storage_id) if record else NULL_EVENT_POINTER
    # The UI reads column lineage from the newest materialisation, not from the definition.
    defined = context.assets_def.metadata_by_key.get(asset, {})
    columns = {name: defined[name] for name in COLUMN_ENTRIES if name in defined}
    context.log_event(AssetMaterialization(asset, partition=month, metadata=columns | dict(metadata), tags=tags))


def record_error(context: AssetExecutionContext, asset: AssetKey, month: str, error: str) -> None:
    """Record why a month of an asset was not materialised, for its page in the UI and for `own_errors`."""
    context.log_event(AssetObservation(asset, partition=month, metadata={ERROR: error}))


def output_without_event(asset: AssetKey) -> MaterializeResult[None]:
    """Return a step's output of an asset whose months are recorded by `record_month`; it records nothing itself.

    The marker is Dagster's own, for functions that log their events themselves; there is no public one.
    """
    return MaterializeResult(asset_key=asset, metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})


def check_target(record: EventLogRecord | None) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return the materialisation that a check evaluates, as Dagster records it."""
    if record is None:
        return None
    return AssetCheckEvaluationTargetMaterializationData(
        storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
    )


class RecordedMaterializations:
    """Materialisations as one run sees them: its own first, else the latest of any run.

    Args:
        instance: Where events are stored.
        run_id: The run that reads.
    """

    def __init__(self, instance: DagsterInstance, run_id: str) -> None:
        self._instance, self._run_id = instance, run_id

    def text(self, asset: str, entry: str, partition: str | None = None) -> str | None:
        """Return a metadata entry of an asset's materialisation as text, or None when there is none."""
        materialization = self._own.get((AssetKey(asset), partition)) or self._latest(asset, partition)
        value = materialization.metadata.get(entry) if materialization is not None else None
        return None if value is None else str(value.value)

    def own_texts(self, asset: str, entry: str) -> dict[str | None, str]:
        """Return a metadata entry of this run's own materialisations of an asset as text, by partition."""
        return {
            partition: str(materialization.metadata[entry].value)
            for (key, partition), materialization in self._own.items()
            if key == AssetKey(asset) and entry in materialization.metadata
        }

    def own_months(self, asset: str) -> set[str]:
        """Return the months of an asset that this run materialised."""
        return {month for key, month in self._own if key == AssetKey(asset) and month is not None}

    def own_errors(self, assets: Collection[str]) -> dict[str, str]:
        """Return why this run did not materialise months of some assets, by month; see `record_error`.

        An error that a later attempt of the step overcame does not count.
        """
        events = self._instance.get_records_for_run(
            self._run_id, of_type=DagsterEventType.ASSET_OBSERVATION, ascending=True
        ).records
        observations = [record.event_log_entry.asset_observation for record in events]
        return {
            event.partition: str(event.metadata[ERROR].value)
            for event in observations
            if event is not None
            and event.partition is not None
            and event.asset_key.to_user_string() in assets
            and ERROR in event.metadata
            and (event.asset_key, event.partition) not in self._own
        }

    def plans_check(self, asset: str, check: str) -> bool:
        """Return whether the run is to evaluate a check."""
        events = self._instance.get_records_for_run(
            self._run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED
        ).records
        planned = [record.event_log_entry.get_dagster_event().event_specific_data for record in events]
        return any(
            isinstance(plan, AssetCheckEvaluationPlanned)
            and (plan.asset_key, plan.check_name) == (AssetKey(asset), check)
            for plan in planned
        )

    def record(self, asset: str, partition: str | None) -> EventLogRecord | None:
        """Return the latest materialisation of a partition, of any run."""
        return _latest_record(self._instance, AssetKey(asset), partition)

    @cached_property
    def _own(self) -> dict[tuple[AssetKey, str | None], AssetMaterialization]:
        """This run's materialisations, the last one of each asset and partition."""
        events = self._instance.get_records_for_run(
            self._run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION, ascending=True
        ).records
        found = [record.asset_materialization for record in events]
        return {(event.asset_key, event.partition): event for event in found if event is not None}

    def _latest(self, asset: str, partition: str | None) -> AssetMaterialization | None:
        record = self.record(asset, partition)
        return record.asset_materialization if record is not None else None


def _latest_input(instance: DagsterInstance, asset: AssetKey, month: str) -> EventLogRecord | None:
    """Return the latest materialisation of an input for a month; of the whole asset when it has no partitions."""
    if (record := _latest_record(instance, asset, month)) is not None:
        return record
    record = _latest_record(instance, asset, None)
    return record if record is not None and record.partition_key is None else None


def _latest_record(instance: DagsterInstance, asset: AssetKey, partition: str | None) -> EventLogRecord | None:
    wanted = AssetRecordsFilter(asset_key=asset, asset_partitions=None if partition is None else [partition])
    records = instance.fetch_materializations(wanted, limit=1).records
    return records[0] if records else None
