"""What a candidate must show before it may be served: plain functions from a version to a verdict.

The same functions stand behind the asset checks, which a person reads, and behind the champion, which moves only when
all of them pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact.predictor import DEFAULT_LEVEL, ArtifactError, Manifest, Predictor
from logitrack_assets.eta.evaluation.holdout import HOLDOUT_FILE, Holdout
from logitrack_assets.eta.evaluation.metrics import MIN_SLICE_TRIPS, Comparison, compare
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.registry import ModelRegistry

NOISE_MARGIN = 0.01
"""Share of the champion's error by which a candidate may be worse before it is refused: two trainings on the same
months with other seeds differ by about half of it."""
MAX_COVERAGE_ERROR, MAX_SLICE_COVERAGE_ERROR = 0.03, 0.06
"""How far coverage may lie from its level, overall and in a slice of at least MIN_SLICE_TRIPS trips."""
MAX_PARITY_ERROR_MINUTES = 0.01
PARITY_TRIPS = 10_000
MAX_PREDICTION_SECONDS = 0.002
"""For one question, at the median of the best of five rounds: a busy machine does not make a model slow."""

Fact = str | int | float | bool


@dataclass(frozen=True)
class GateResult:
    """Whether a candidate passed, one sentence why, and the figures behind it."""

    passed: bool
    why: str
    facts: dict[str, Fact] = field(default_factory=dict)


def artifact_valid(models: ModelRegistry, version: str) -> GateResult:
    """Format, digests and features are right, the model loads, and it answers one question in time."""
    started = time.perf_counter()
    try:
        artifact = models.load(version)
    except ArtifactError as error:
        return GateResult(False, str(error))
    loading = time.perf_counter() - started
    trip = TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"])
    rounds = []
    for _ in range(5):
        laps = []
        for _ in range(100):
            began = time.perf_counter()
            artifact.predict(trip)
            laps.append(time.perf_counter() - began)
        rounds.append(float(np.median(laps)))
    answer = min(rounds)
    facts: dict[str, Fact] = {"load_seconds": round(loading, 3), "answer_microseconds": round(answer * 1e6, 1)}
    if answer > MAX_PREDICTION_SECONDS:
        return GateResult(
            False, f"One answer takes {answer * 1e3:.2f} ms; at most {MAX_PREDICTION_SECONDS * 1e3:g} ms.", facts
        )
    return GateResult(True, f"Loads in {loading:.2f} s and answers in {answer * 1e6:.0f} microseconds.", facts)


def serving_parity(models: ModelRegistry, version: str) -> GateResult:
    """Held-out trips get the same answers on the serving path as on training's: other code, same minutes."""
    artifact, held_out = _opened(models, version)
    rows = slice(0, PARITY_TRIPS)
    trips = held_out.trips.take(rows)
    known = trips.batch.distance_miles > 0
    zones_gap = np.abs(artifact.minutes(trips.batch.without_distance()) - held_out.trained_zones[rows])
    distance_gap = np.abs(artifact.minutes(trips.batch) - held_out.trained_distance[rows])[known]
    worst = float(max(zones_gap.max(), distance_gap.max(initial=0.0)))
    facts: dict[str, Fact] = {
        "trips": len(trips),
        "with_distance": int(known.sum()),
        "largest_difference_minutes": worst,
        "allowed_minutes": MAX_PARITY_ERROR_MINUTES,
    }
    why = f"LoadedModel and training differ by at most {worst:.6f} minutes over {len(trips):,} trips."
    return GateResult(worst <= MAX_PARITY_ERROR_MINUTES, why, facts)


def beats_baseline(models: ModelRegistry, version: str) -> GateResult:
    """On the newest month, which it had not seen, the judged model is better than the median of pair and hour."""
    _, held_out = _opened(models, version)
    found = _both(held_out, held_out.lookup, held_out.lookup)
    passed = all(comparison.high < 0 for comparison in found.values())
    zones = found["zones"]
    why = (
        f"MAE {zones.new_mae_minutes:.2f} minutes from zones alone against the lookup's {zones.old_mae_minutes:.2f} "
        f"on {zones.trips:,} trips."
    )
    return GateResult(passed, why, _facts(found))


def not_worse_than_champion(models: ModelRegistry, version: str) -> GateResult:
    """On the newest month, the judged model's error is not above the champion's by more than NOISE_MARGIN, beyond
    doubt: refused when even the low end of the paired 95% interval lies above the bound.

    A champion that learned from that very month would be flattered by it; then what its own judged model answered
    stands in, on the trips that both versions hold.
    """
    champion = models.champion()
    if champion is None:
        return GateResult(True, "There is no champion yet.")
    if champion.version == version:
        return GateResult(True, "It is the champion.")
    _, held_out = _opened(models, version)
    mine = models.manifest(version)
    try:
        theirs = models.load(champion.version)
    except ArtifactError as error:
        return GateResult(True, f"The champion cannot answer, so anything sound is better: {error}")
    if not set(mine.fleets) >= set(theirs.manifest.fleets):
        return GateResult(False, f"The champion knows {_listed(theirs.manifest)}, the candidate only {_listed(mine)}.")
    if theirs.manifest.trained_through >= mine.judged_on[-1]:
        old = Holdout.load(models.path(champion.version) / HOLDOUT_FILE)
        _, here, there = np.intersect1d(held_out.trips.row, old.trips.row, return_indices=True)
        if len(here) < MIN_SLICE_TRIPS and theirs.manifest.trained_through > mine.trained_through:
            return GateResult(
                False, f"The champion has learned from newer months, through {theirs.manifest.trained_through}."
            )
        held_out = held_out.take(here)
        zones, distance = old.judged_zones[there], old.judged_distance[there]
    else:
        zones = theirs.minutes(held_out.trips.batch.without_distance())
        distance = theirs.minutes(held_out.trips.batch)
    if len(held_out.trips) == 0:
        return GateResult(False, "It shares no judged trip with the champion, so nothing shows that it is not worse.")
    found = _both(held_out, zones, distance)
    passed = all(comparison.low <= NOISE_MARGIN * comparison.old_mae_minutes for comparison in found.values())
    shown = found["zones"]
    why = (
        f"MAE {shown.new_mae_minutes:.2f} minutes from zones alone against the champion's {shown.old_mae_minutes:.2f}: "
        f"a difference of {shown.difference:+.3f}, 95% interval {shown.low:+.3f} to {shown.high:+.3f}; "
        f"worse by {NOISE_MARGIN:.0%} is within noise."
    )
    return GateResult(passed, why, {**_facts(found), "noise_bound": NOISE_MARGIN, "champion": champion.version})


def interval_coverage(models: ModelRegistry, version: str) -> GateResult:
    """Intervals hold as many trips as they say, overall and in every slice that is large enough to tell."""
    metrics = models.manifest(version).metrics
    misses = [
        f"{name} {covered:.1%}"
        for name, covered in (("zones alone", metrics.coverage_zones), ("with distance", metrics.coverage_distance))
        if abs(covered - metrics.level) > MAX_COVERAGE_ERROR
    ]
    large = [part for part in metrics.slices if part.trips >= MIN_SLICE_TRIPS]
    misses += [
        f"{part.by} {part.value} {part.coverage:.1%}"
        for part in large
        if abs(part.coverage - metrics.level) > MAX_SLICE_COVERAGE_ERROR
    ]
    facts: dict[str, Fact] = {
        "level": metrics.level,
        "coverage_zones": round(metrics.coverage_zones, 4),
        "coverage_distance": round(metrics.coverage_distance, 4),
        "coverage_forward_zones": round(metrics.coverage_forward_zones, 4),
        "width_minutes_zones": round(metrics.width_minutes_zones, 2),
        "width_minutes_distance": round(metrics.width_minutes_distance, 2),
        "slices_judged": len(large),
    }
    if misses:
        return GateResult(False, f"Coverage of the {DEFAULT_LEVEL:.0%} interval is off in: {'; '.join(misses)}.", facts)
    return GateResult(
        True, f"{metrics.coverage_zones:.1%} and {metrics.coverage_distance:.1%} of trips covered.", facts
    )


GATES: dict[str, Callable[[ModelRegistry, str], GateResult]] = {
    "artifact_valid": artifact_valid,
    "serving_parity": serving_parity,
    "beats_baseline": beats_baseline,
    "not_worse_than_champion": not_worse_than_champion,
    "interval_coverage": interval_coverage,
}


def evaluate_gates(models: ModelRegistry, version: str) -> dict[str, GateResult]:
    """All verdicts on a version. Where the artifact is not sound, nothing else is asked of it."""
    sound = artifact_valid(models, version)
    if not sound.passed:
        return {"artifact_valid": sound}
    return {"artifact_valid": sound} | {
        name: function(models, version) for name, function in GATES.items() if name != "artifact_valid"
    }


def _opened(models: ModelRegistry, version: str) -> tuple[Predictor, Holdout]:
    return models.load(version), Holdout.load(models.path(version) / HOLDOUT_FILE)


def _both(held_out: Holdout, zones: NDArray[np.float64], distance: NDArray[np.float64]) -> dict[str, Comparison]:
    """The judged model against other answers, without and, where any trip has one, with distance."""
    real, known = held_out.trips.minutes, held_out.trips.batch.distance_miles > 0
    found = {"zones": compare(held_out.judged_zones, zones, real, seed=1)}
    if known.any():
        found["distance"] = compare(held_out.judged_distance[known], distance[known], real[known], seed=1)
    return found


def _facts(found: dict[str, Comparison]) -> dict[str, Fact]:
    return {
        f"{name}_{figure}": round(float(getattr(comparison, figure)), 4)
        for name, comparison in found.items()
        for figure in ("trips", "new_mae_minutes", "old_mae_minutes", "difference", "low", "high")
    }


def _listed(manifest: Manifest) -> str:
    return " and ".join(manifest.fleets)
