"""The manifest of a cleaned month: row counts, rejections, digests and the version, stored beside its trips."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from logitrack_assets.lake import Lake
from logitrack_assets.trips.errors import MonthError
from logitrack_assets.trips.rules import REASONS, RULES_VERSION


@dataclass(frozen=True)
class RowCounts:
    """Rows of one fleet in one month.

    Attributes:
        bronze: Rows of the published file.
        silver: Valid trips.
        rejected: Rejected rows by rule.
    """

    bronze: int
    silver: int
    rejected: dict[str, int]

    @property
    def rejected_rows(self) -> int:
        """Rejected rows of all rules."""
        return sum(self.rejected.values())

    @property
    def rejection_rate(self) -> float:
        """Share of the published rows that are rejected, 0 to 1."""
        return self.rejected_rows / max(self.bronze, 1)


@dataclass(frozen=True)
class MonthManifest:
    """What is recorded of a cleaned month.

    Attributes:
        month: `YYYY-MM`.
        counts: Rows by fleet.
        digests: SHA-256 of the published file by fleet.
        urls: Address of the published file by fleet.
        published_at: When the month was published to the lake, UTC.
        version: Identifier of this cleaning, unique.
        rules_version: Version of the cleaning rules.
    """

    month: str
    counts: dict[str, RowCounts]
    digests: dict[str, str]
    urls: dict[str, str]
    published_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    version: str = field(default_factory=lambda: uuid.uuid4().hex)
    rules_version: str = RULES_VERSION

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> MonthManifest:
        """Return the manifest that `to_json` wrote."""
        return cls(
            month=document["month"],
            counts={
                fleet: RowCounts(entry["bronze"], entry["silver"], entry["rejected"])
                for fleet, entry in document["rows"].items()
            },
            digests=document["bronze_sha256"],
            urls=document["source_urls"],
            published_at=datetime.fromisoformat(document["published_at"]),
            version=document["version"],
            rules_version=document["rules_version"],
        )

    def to_json(self) -> dict[str, Any]:
        """Return the document to store."""
        return {
            "version": self.version,
            "month": self.month,
            "rules_version": self.rules_version,
            "rows": {
                fleet: {"bronze": count.bronze, "silver": count.silver, "rejected": count.rejected}
                for fleet, count in self.counts.items()
            },
            "bronze_sha256": self.digests,
            "source_urls": self.urls,
            "published_at": self.published_at.isoformat(timespec="seconds"),
        }

    @property
    def silver_rows(self) -> int:
        """Valid trips of all fleets."""
        return sum(count.silver for count in self.counts.values())

    @property
    def rejected_rows(self) -> int:
        """Rejected rows of all fleets."""
        return sum(count.rejected_rows for count in self.counts.values())

    @property
    def rejection_rate(self) -> float:
        """Share of the month's rows that are rejected, 0 to 1."""
        return self.rejected_rows / max(self.silver_rows + self.rejected_rows, 1)

    def rejected_by(self, rule: str) -> int:
        """Return the rows of all fleets whose first violated rule is `rule`."""
        return sum(count.rejected.get(rule, 0) for count in self.counts.values())


def load_manifest(lake: Lake, month: str) -> MonthManifest:
    """Return the manifest of a silver month.

    Raises:
        MonthError: The month has no silver trips.
    """
    document = lake.manifest(month)
    if document is None:
        raise MonthError(f"{month} has no valid trips in the lake.", hint="Materialise silver_trips first.")
    return MonthManifest.from_json(document)


def month_summary_tables(manifest: MonthManifest, sample_rows: int) -> dict[str, pa.Table]:
    """Return the rows of the warehouse tables `trip_months` and `rejections` for a month.

    Args:
        manifest: The month's manifest.
        sample_rows: Maximum number of trips per fleet in `analytics_sample`.
    """
    months = [
        {
            "month": manifest.month,
            "fleet": fleet,
            "rows_bronze": count.bronze,
            "rows_silver": count.silver,
            "rows_rejected": count.rejected_rows,
            "sample_rows": min(count.silver, sample_rows),
            "source_url": manifest.urls[fleet],
            "bronze_sha256": manifest.digests[fleet],
            "published_at": manifest.published_at,
        }
        for fleet, count in manifest.counts.items()
    ]
    rejections = [
        {
            "month": manifest.month,
            "fleet": fleet,
            "rule": rule,
            "reason": reason,
            "trips": count.rejected.get(rule, 0),
        }
        for fleet, count in manifest.counts.items()
        for rule, reason in REASONS.items()
    ]
    return {"trip_months": pa.Table.from_pylist(months), "rejections": pa.Table.from_pylist(rejections)}


def version_of(*parts: object) -> str:
    """Return a short version identifier, the same for equal parts."""
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def bronze_version(lake: Lake, month: str) -> str:
    """Return an identifier of the content of all fleets' files of a month."""
    fleets = lake.bronze_fleets(month)
    return version_of(*(f"{fleet}:{(lake.receipt(fleet, month) or {})['sha256']}" for fleet in fleets))
