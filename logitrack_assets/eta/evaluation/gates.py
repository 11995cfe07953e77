"""Promotion gates: plain functions from a version to a result.

The asset checks of `eta_model` and the promotion in `eta_champion` use the same functions; the champion changes only
when every gate passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import ArtifactError, Manifest, ModelMetrics, Predictor
from logitrack_assets.eta.evaluation.comparison import Comparison, paired_bootstrap
from logitrack_assets.eta.evaluation.coverage import overall_deviation
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.evaluation.slices import MIN_SLICE_TRIPS
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.gate_records import GateRecord
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.variant import Variant

NOISE_MARGIN = 0.01
"""Share of the champion's error by which a candidate may be worse: two trainings on the same months with different
seeds differ by about half of it."""
MAX_PARITY_ERROR_MINUTES = 0.01
PARITY_TRIPS = 10_000
MAX_PREDICTION_SECONDS = 0.002
"""Limit of a single-trip prediction, at the median of the best of five rounds, so that a busy machine does not fail a
fast model."""
_TIMING_ROUNDS, _CALLS_PER_ROUND = 5, 100

Fact = str | int | float | bool


@dataclass(frozen=True)
class GateResult:
    """The result of a gate.

    Attributes:
        passed: Whether the candidate passed.
        why: The reason, one or two sentences.
        facts: The figures behind it.
    """

    passed: bool
    why: str
    facts: dict[str, Fact] = field(default_factory=dict)


def artifact_valid(models: ModelRegistry, version: str) -> GateResult:
    """Format, digests and features are valid, the model loads, and a single-trip prediction is fast enough."""
    started = time.perf_counter()
    try:
        predictor = models.load(version)
    except ArtifactError as error:
        return GateResult(False, str(error))
    load_seconds = time.perf_counter() - started
    seconds = _prediction_seconds(predictor)
    facts: dict[str, Fact] = {
        "load_seconds": round(load_seconds, 3),
        "answer_microseconds": round(seconds * 1e6, 1),
    }
    if seconds > MAX_PREDICTION_SECONDS:
        limit = f"at most {MAX_PREDICTION_SECONDS * 1e3:g} ms is allowed"
        return GateResult(False, f"One prediction takes {seconds * 1e3:.2f} ms; {limit}.", facts)
    return GateResult(True, f"Loads in {load_seconds:.2f} s and predicts in {seconds * 1e6:.0f} microseconds.", facts)


def _prediction_seconds(predictor: Predictor) -> float:
    """Return the median seconds of a single-trip prediction in the fastest of several rounds."""
    trip = TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"])
    medians = []
    for _ in range(_TIMING_ROUNDS):
        durations = []
        for _ in range(_CALLS_PER_ROUND):
            started = time.perf_counter()
            predictor.predict(trip)
            durations.append(time.perf_counter() - started)
        medians.append(float(np.median(durations)))
    return min(medians)


def serving_parity(models: ModelRegistry, version: str) -> GateResult:
    """Held-out trips get the same minutes on the serving path as on the training path."""
    predictor, holdout = _load_with_holdout(models, version)
    holdout = holdout.take(slice(0, PARITY_TRIPS))
    batch = holdout.trips.batch
    worst = 0.0
    for variant in Variant:
        difference = np.abs(predictor.minutes(variant.inputs(batch)) - holdout.published[variant])
        worst = max(worst, float(difference[variant.mask(batch)].max(initial=0.0)))
    facts: dict[str, Fact] = {
        "trips": len(batch),
        "with_distance": int(batch.distance_known.sum()),
        "largest_difference_minutes": worst,
        "allowed_minutes": MAX_PARITY_ERROR_MINUTES,
    }
    why = f"Serving and training differ by at most {worst:.6f} minutes over {len(batch):,} trips."
    return GateResult(worst <= MAX_PARITY_ERROR_MINUTES, why, facts)


def beats_baseline(models: ModelRegistry, version: str) -> GateResult:
    """On the newest month the evaluation model has a lower error than the median of zone pair and hour."""
    _, holdout = _load_with_holdout(models, version)
    comparisons = _compare(holdout, dict.fromkeys(Variant, holdout.lookup))
    passed = all(comparison.high < 0 for comparison in comparisons.values())
    zones = comparisons[Variant.ZONES]
    why = (
        f"MAE {zones.new_mae_minutes:.2f} minutes from zones only against the lookup's {zones.old_mae_minutes:.2f} "
        f"on {zones.trips:,} trips."
    )
    return GateResult(passed, why, _comparison_facts(comparisons))


def not_worse_than_champion(models: ModelRegistry, version: str) -> GateResult:
    """On the newest month the error is not significantly above the champion's by more than NOISE_MARGIN.

    Fails when even the low end of the paired 95% interval of the difference exceeds the margin. A champion that was
    trained on that month would have an unfair advantage; then the predictions of its evaluation model are compared, on
    the trips that both holdouts contain.
    """
    champion = models.champion()
    if champion is None:
        return GateResult(True, "There is no champion yet.")
    if champion.version == version:
        return GateResult(True, "It is the champion.")
    try:
        predictor = models.load(champion.version)
    except ArtifactError as error:
        return GateResult(True, f"The champion cannot predict, so any valid candidate is better: {error}")
    refusal = _refusal_of_scope(models.manifest(version), predictor.manifest)
    if refusal is not None:
        return refusal
    return _compare_with_champion(models, version, predictor)


def _refusal_of_scope(candidate: Manifest, champion: Manifest) -> GateResult | None:
    """Return the failure of a candidate that lacks a fleet of the champion, or None."""
    if set(candidate.fleets) >= set(champion.fleets):
        return None
    fleets, fewer = " and ".join(champion.fleets), " and ".join(candidate.fleets)
    return GateResult(False, f"The champion is trained on {fleets}, the candidate only on {fewer}.")


def _compare_with_champion(models: ModelRegistry, version: str, champion: Predictor) -> GateResult:
    candidate = models.manifest(version)
    _, holdout = _load_with_holdout(models, version)
    batch = holdout.trips.batch
    if champion.manifest.trained_through >= candidate.judged_on[-1]:
        theirs = _load_holdout(models, champion.version)
        _, ours_at, theirs_at = np.intersect1d(holdout.trips.row, theirs.trips.row, return_indices=True)
        newer = champion.manifest.trained_through > candidate.trained_through
        if newer and len(ours_at) < MIN_SLICE_TRIPS:
            through = champion.manifest.trained_through
            return GateResult(False, f"The champion is trained on newer months, through {through}.")
        holdout, old = holdout.take(ours_at), theirs.take(theirs_at).evaluated
    else:
        old = {variant: champion.minutes(variant.inputs(batch)) for variant in Variant}
    if len(holdout.trips) == 0:
        return GateResult(False, "It shares no evaluated trip with the champion, so they cannot be compared.")
    comparisons = _compare(holdout, old)
    passed = all(comparison.low <= NOISE_MARGIN * comparison.old_mae_minutes for comparison in comparisons.values())
    zones = comparisons[Variant.ZONES]
    why = (
        f"MAE {zones.new_mae_minutes:.2f} minutes from zones only against the champion's {zones.old_mae_minutes:.2f}: "
        f"a difference of {zones.difference:+.3f}, 95% interval {zones.low:+.3f} to {zones.high:+.3f}; "
        f"worse by {NOISE_MARGIN:.0%} is within noise."
    )
    facts = {**_comparison_facts(comparisons), "noise_bound": NOISE_MARGIN, "champion": champion.version}
    return GateResult(passed, why, facts)


def interval_coverage(models: ModelRegistry, version: str) -> GateResult:
    """Intervals cover the share of trips that their level states; slices that deviate are recalibrated and named."""
    metrics = models.manifest(version).metrics
    large = [part for part in metrics.slices if part.trips >= MIN_SLICE_TRIPS]
    facts: dict[str, Fact] = {
        "level": metrics.level,
        "coverage_zones": round(metrics.coverage_zones, 4),
        "coverage_distance": round(metrics.coverage_distance, 4),
        "coverage_forward_zones": round(metrics.coverage_forward_zones, 4),
        "width_minutes_zones": round(metrics.width_minutes_zones, 2),
        "width_minutes_distance": round(metrics.width_minutes_distance, 2),
        "slices_judged": len(large),
        "slices_recalibrated": "; ".join(metrics.recalibrated_slices) or "none",
    }
    deviations = [
        f"{variant.label} {metrics.coverage(variant):.1%}"
        for variant in Variant
        if overall_deviation(metrics.coverage(variant), _tested_trips(metrics, variant), metrics.level, tests=4)
    ]
    if deviations:
        why = f"Coverage of the {metrics.level:.0%} interval deviates beyond chance: {'; '.join(deviations)}."
        return GateResult(False, why, facts)
    why = f"{metrics.coverage_zones:.1%} and {metrics.coverage_distance:.1%} of trips are covered."
    if metrics.recalibrated_slices:
        why += f" Warning: these slices deviated and use the newest month only: {facts['slices_recalibrated']}."
    return GateResult(True, why, facts)


def _tested_trips(metrics: ModelMetrics, variant: Variant) -> int:
    """Return the trips that a variant's coverage was measured on: every other evaluated one."""
    errors = metrics.distance if variant is Variant.DISTANCE else metrics.zones
    return max(errors.trips // 2, 1)


GATES: dict[str, Callable[[ModelRegistry, str], GateResult]] = {
    "artifact_valid": artifact_valid,
    "serving_parity": serving_parity,
    "beats_baseline": beats_baseline,
    "not_worse_than_champion": not_worse_than_champion,
    "interval_coverage": interval_coverage,
}


def gate_rule(name: str) -> str:
    """Return what a gate demands, as one line."""
    return " ".join((GATES[name].__doc__ or "").split())


def gate_record(name: str, result: GateResult, *, rule: str | None = None) -> GateRecord:
    """Return a result as it is kept with the version, evaluated now; `rule` describes what is not one of `GATES`."""
    return GateRecord(
        name=name,
        rule=rule or gate_rule(name),
        passed=result.passed,
        reason=result.why,
        facts=result.facts,
        evaluated_at=datetime.now(UTC).replace(microsecond=0),
    )


def evaluate_gates(models: ModelRegistry, version: str) -> dict[str, GateResult]:
    """Return the results of all gates by name; only that of `artifact_valid` when it fails."""
    valid = artifact_valid(models, version)
    if not valid.passed:
        return {"artifact_valid": valid}
    return {"artifact_valid": valid} | {
        name: gate(models, version) for name, gate in GATES.items() if name != "artifact_valid"
    }


def _load_holdout(models: ModelRegistry, version: str) -> Holdout:
    return Holdout.load(models.path(version) / HOLDOUT_FILE)


def _load_with_holdout(models: ModelRegistry, version: str) -> tuple[Predictor, Holdout]:
    """Return the predictor, whose loading verifies the holdout's digest, and the holdout."""
    return models.load(version), _load_holdout(models, version)


def _compare(holdout: Holdout, old: Mapping[Variant, NDArray[np.float64]]) -> dict[Variant, Comparison]:
    """Compare the evaluation model with old predictions, for every variant that applies to any trip."""
    comparisons = {}
    for variant in Variant:
        rows = variant.mask(holdout.trips.batch)
        if rows.any():
            new, real = holdout.evaluated[variant][rows], holdout.trips.minutes[rows]
            comparisons[variant] = paired_bootstrap(new, old[variant][rows], real, seed=1)
    return comparisons


def _comparison_facts(comparisons: Mapping[Variant, Comparison]) -> dict[str, Fact]:
    return {
        f"{variant}_{figure}": round(float(getattr(comparison, figure)), 4)
        for variant, comparison in comparisons.items()
        for figure in ("trips", "new_mae_minutes", "old_mae_minutes", "difference", "low", "high")
    }
