"""Responses about model versions. Errors and widths are minutes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from logitrack_assets.eta.artifact import Manifest
from logitrack_assets.eta.gate_records import GateRecord
from logitrack_assets.eta.registry import Champion, VersionStatus, VersionSummary

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"\S", description="Kept in the history.")]


class ModelResponse(msgspec.Struct):
    """The loaded model: its promotion (`champion`) and its manifest (`card`)."""

    model_version: str
    champion: dict[str, Any]
    loaded_at: datetime
    card: dict[str, Any]


class LiveVariantState(msgspec.Struct):
    """Live correction of one variant of the model.

    `enabled` is false while the safety switch is open. `difference_minutes` is the mean absolute error with correction
    minus the one without, over the `compared_outcomes` of the last days: negative where it helps. The scales are
    factors of the interval's tails.
    """

    enabled: bool
    difference_minutes: float
    compared_outcomes: float
    low_scale: float
    high_scale: float


class LiveStateResponse(msgspec.Struct):
    """What the outcomes have taught the loaded model in this worker.

    `position` is the number of the last outcome that was learned, null until the database has been reached;
    `excluded_accounts` the number of accounts whose outcomes contradict those of the others.
    """

    model_version: str
    position: int | None
    outcomes: int
    excluded_accounts: int
    zones: LiveVariantState
    distance: LiveVariantState


class Promotion(msgspec.Struct):
    """An entry of the history: which version became champion, by whom, when and why; `previous` was it before."""

    version: str
    promoted_at: Instant
    by: str
    reason: str
    previous: str | None
    kind: Literal["promotion", "rollback"]

    @classmethod
    def from_champion(cls, champion: Champion) -> Promotion:
        """Return an entry without its digest and signature."""
        return cls(
            champion.version, champion.promoted_at, champion.by, champion.reason, champion.previous, champion.kind
        )


class VersionMetrics(msgspec.Struct):
    """Errors on the newest month, which the evaluated model was not trained on.

    `baseline_mae_minutes` is the error of the median by zone pair and hour. Coverage is the share of real durations
    inside the interval and should equal `level`.
    """

    trips: int
    mae_minutes: float
    mae_minutes_with_distance: float
    baseline_mae_minutes: float
    rmse_minutes: float
    level: Share
    coverage: Share
    coverage_with_distance: Share
    interval_width_minutes: float


class VersionEntry(msgspec.Struct):
    """A model version with its state, and why it has that state.

    Of an unreadable version only the name and the reason are known; the other fields are null or empty.
    """

    version: str
    status: VersionStatus
    reason: str
    created_at: Instant | None = None
    trained_from: str | None = None
    trained_through: str | None = None
    evaluated_on: list[str] = []
    fleets: list[str] = []
    metrics: VersionMetrics | None = None

    @classmethod
    def from_summary(cls, summary: VersionSummary) -> VersionEntry:
        """Return a row of the registry's list."""
        manifest = summary.manifest
        if manifest is None:
            return cls(summary.version, summary.status, summary.reason)
        return cls(
            summary.version,
            summary.status,
            summary.reason,
            created_at=manifest.created_at,
            trained_from=manifest.training_months[0],
            trained_through=manifest.trained_through,
            evaluated_on=manifest.judged_on,
            fleets=manifest.fleets,
            metrics=_metrics(manifest),
        )


class GateEntry(msgspec.Struct):
    """The result of a gate: what it demands, whether the version met it and why. `facts` has values and thresholds."""

    name: str
    rule: str
    passed: bool
    reason: str
    facts: dict[str, bool | int | float | str]
    evaluated_at: Instant

    @classmethod
    def from_record(cls, record: GateRecord) -> GateEntry:
        """Return a recorded result."""
        return cls(**record.model_dump())


class VersionDetail(msgspec.Struct):
    """A version with its gates, its promotions (newest first), its model card (Markdown) and its manifest."""

    summary: VersionEntry
    gates: list[GateEntry]
    promotions: list[Promotion]
    card: str | None
    manifest: dict[str, Any] | None


class ModelListResponse(msgspec.Struct):
    """All versions, newest first, and all promotions, newest first.

    `serving` is the loaded version; `trouble` says why a newer champion is not loaded.
    """

    serving: str | None
    trouble: str | None
    versions: list[VersionEntry]
    history: list[Promotion]


class PromotionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Why a version is to be served. `force` serves one whose gates did not pass, and the history says so."""

    reason: Reason
    force: bool = False


class RollbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Why the champion before the present one is to be served again."""

    reason: Reason


def _metrics(manifest: Manifest) -> VersionMetrics:
    metrics = manifest.metrics
    return VersionMetrics(
        trips=metrics.zones.trips,
        mae_minutes=metrics.zones.mae_minutes,
        mae_minutes_with_distance=metrics.distance.mae_minutes,
        baseline_mae_minutes=metrics.lookup.mae_minutes,
        rmse_minutes=metrics.zones.rmse_minutes,
        level=metrics.level,
        coverage=metrics.coverage_zones,
        coverage_with_distance=metrics.coverage_distance,
        interval_width_minutes=metrics.width_minutes_zones,
    )
