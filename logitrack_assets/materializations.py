"""What Dagster's event log records of materialised assets.

Assets and checks read from it which version they act on: in a run the version that this run materialised, also when
another run publishes a newer one meanwhile; otherwise the latest.
"""

from __future__ import annotations

from functools import cached_property

from dagster import AssetKey, AssetMaterialization, AssetRecordsFilter, DagsterEventType, DagsterInstance

VERSION = "version"
"""Metadata entry with the version of what was materialised."""


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

    @cached_property
    def _own(self) -> dict[tuple[AssetKey, str | None], AssetMaterialization]:
        """This run's materialisations, the last one of each asset and partition."""
        events = self._instance.get_records_for_run(
            self._run_id, of_type=DagsterEventType.ASSET_MATERIALIZATION, ascending=True
        ).records
        found = [record.asset_materialization for record in events]
        return {(event.asset_key, event.partition): event for event in found if event is not None}

    def _latest(self, asset: str, partition: str | None) -> AssetMaterialization | None:
        wanted = AssetRecordsFilter(
            asset_key=AssetKey(asset), asset_partitions=None if partition is None else [partition]
        )
        records = self._instance.fetch_materializations(wanted, limit=1).records
        return records[0].asset_materialization if records else None
