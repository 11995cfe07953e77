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

from logitrack_assets.eta.artifact.predictor import DEFAULT_LEVEL, Artefact, ArtefactError, Manifest
from logitrack_assets.eta.evaluation.holdout import HELD_OUT, HeldOut
from logitrack_assets.eta.evaluation.metrics import SMALL_SLICE, Comparison, compare
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.registry import ModelStore

NOISE_BOUND = 0.01
"""Share of the champion's error by which a candidate may be worse before it is refused: two trainings on the same
months with other seeds differ by about half of it."""
OVERALL_MISS, SLICE_MISS = 0.03, 0.06
"""How far coverage may lie from its level, overall and in a slice of at least SMALL_SLICE trips."""
PARITY_MINUTES = 0.01
PARITY_TRIPS = 10_000
ANSWER_SECONDS = 0.002
"""For one question, at the median of the best of five rounds: a busy machine does not make a model slow."""

Fact = str | int | float | bool


@dataclass(frozen=True)
class Verdict:
    """Whether a candidate passed, one sentence why, and the figures behind it."""

    passed: bool
    why: str
    facts: dict[str, Fact] = field(default_factory=dict)


def artefact_sound(models: ModelStore, version: str) -> Verdict:
    """Format, digests and features are right, the model loads, and it answers one question in time."""
    started = time.perf_counter()
    try:
        artefact = models.load(version)
    except ArtefactError as error:
        return Verdict(False, str(error))
    loading = time.perf_counter() - started
    trip = TripBatch.of([161], [236], ["2019-06-03T08:30:00"])
    rounds = []
    for _ in range(5):
        laps = []
        for _ in range(100):
            began = time.perf_counter()
            artefact.predict(trip)
            laps.append(time.perf_counter() - began)
        rounds.append(float(np.median(laps)))
    answer = min(rounds)
    facts: dict[str, Fact] = {"load_seconds": round(loading, 3), "answer_microseconds": round(answer * 1e6, 1)}
    if answer > ANSWER_SECONDS:
        return Verdict(False, f"One answer takes {answer * 1e3:.2f} ms; at most {ANSWER_SECONDS * 1e3:g} ms.", facts)
    return Verdict(True, f"Loads in {loading:.2f} s and answers in {answer * 1e6:.0f} microseconds.", facts)


def serving_parity(models: ModelStore, version: str) -> Verdict:
    """Held-out trips get the same answers on the serving path as on training's: other code, same minutes."""
    artefact, held_out = _opened(models, version)
    rows = slice(0, PARITY_TRIPS)
    trips = held_out.trips.take(rows)
    known = trips.batch.distance_miles > 0
    zones_gap = np.abs(artefact.minutes(trips.batch.without_distance()) - held_out.trained_zones[rows])
    distance_gap = np.abs(artefact.minutes(trips.batch) - held_out.trained_distance[rows])[known]
    worst = float(max(zones_gap.max(), distance_gap.max(initial=0.0)))
    facts: dict[str, Fact] = {
        "trips": len(trips),
        "with_distance": int(known.sum()),
        "largest_difference_minutes": worst,
        "allowed_minutes": PARITY_MINUTES,
    }
    why = f"Serving and training differ by at most {worst:.6f} minutes over {len(trips):,} trips."
    return Verdict(worst <= PARITY_MINUTES, why, facts)


def beats_lookup(models: ModelStore, version: str) -> Verdict:
    """On the newest month, which it had not seen, the judged model is better than the median of pair and hour."""
    _, held_out = _opened(models, version)
    found = _both(held_out, held_out.lookup, held_out.lookup)
    passed = all(comparison.high < 0 for comparison in found.values())
    zones = found["zones"]
    why = (
        f"MAE {zones.new_mae_minutes:.2f} minutes from zones alone against the lookup's {zones.old_mae_minutes:.2f} "
        f"on {zones.trips:,} trips."
    )
    return Verdict(passed, why, _facts(found))


def not_worse_than_champion(models: ModelStore, version: str) -> Verdict:
    """On the newest month, the judged model's error is not above the champion's by more than NOISE_BOUND, beyond
    doubt: refused when even the low end of the paired 95% interval lies above the bound.

    A champion that learned from that very month would be flattered by it; then what its own judged model answered
    stands in, on the trips that both versions hold.
    """
    champion = models.champion()
    if champion is None:
        return Verdict(True, "There is no champion yet.")
    if champion.version == version:
        return Verdict(True, "It is the champion.")
    _, held_out = _opened(models, version)
    mine = models.manifest(version)
    try:
        theirs = models.load(champion.version)
    except ArtefactError as error:
        return Verdict(True, f"The champion cannot answer, so anything sound is better: {error}")
    if not set(mine.fleets) >= set(theirs.manifest.fleets):
        return Verdict(False, f"The champion knows {_listed(theirs.manifest)}, the candidate only {_listed(mine)}.")
    if theirs.manifest.trained_through >= mine.judged_on[-1]:
        old = HeldOut.load(models.path(champion.version) / HELD_OUT)
        _, here, there = np.intersect1d(held_out.trips.row, old.trips.row, return_indices=True)
        if len(here) < SMALL_SLICE and theirs.manifest.trained_through > mine.trained_through:
            return Verdict(
                False, f"The champion has learned from newer months, through {theirs.manifest.trained_through}."
            )
        held_out = held_out.take(here)
        zones, distance = old.judged_zones[there], old.judged_distance[there]
    else:
        zones = theirs.minutes(held_out.trips.batch.without_distance())
        distance = theirs.minutes(held_out.trips.batch)
    if len(held_out.trips) == 0:
        return Verdict(False, "It shares no judged trip with the champion, so nothing shows that it is not worse.")
    found = _both(held_out, zones, distance)
    passed = all(comparison.low <= NOISE_BOUND * comparison.old_mae_minutes for comparison in found.values())
    shown = found["zones"]
    why = (
        f"MAE {shown.new_mae_minutes:.2f} minutes from zones alone against the champion's {shown.old_mae_minutes:.2f}: "
        f"a difference of {shown.difference:+.3f}, 95% interval {shown.low:+.3f} to {shown.high:+.3f}; "
        f"worse by {NOISE_BOUND:.0%} is within noise."
    )
    return Verdict(passed, why, {**_facts(found), "noise_bound": NOISE_BOUND, "champion": champion.version})


def interval_coverage(models: ModelStore, version: str) -> Verdict:
    """Intervals hold as many trips as they say, overall and in every slice that is large enough to tell."""
    metrics = models.manifest(version).metrics
    misses = [
        f"{name} {covered:.1%}"
        for name, covered in (("zones alone", metrics.coverage_zones), ("with distance", metrics.coverage_distance))
        if abs(covered - metrics.level) > OVERALL_MISS
    ]
    large = [part for part in metrics.slices if part.trips >= SMALL_SLICE]
    misses += [
        f"{part.by} {part.value} {part.coverage:.1%}"
        for part in large
        if abs(part.coverage - metrics.level) > SLICE_MISS
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
        return Verdict(False, f"Coverage of the {DEFAULT_LEVEL:.0%} interval is off in: {'; '.join(misses)}.", facts)
    return Verdict(True, f"{metrics.coverage_zones:.1%} and {metrics.coverage_distance:.1%} of trips covered.", facts)


VERDICTS: dict[str, Callable[[ModelStore, str], Verdict]] = {
    "artefact_sound": artefact_sound,
    "serving_parity": serving_parity,
    "beats_lookup": beats_lookup,
    "not_worse_than_champion": not_worse_than_champion,
    "interval_coverage": interval_coverage,
}


def judge(models: ModelStore, version: str) -> dict[str, Verdict]:
    """All verdicts on a version. Where the artefact is not sound, nothing else is asked of it."""
    sound = artefact_sound(models, version)
    if not sound.passed:
        return {"artefact_sound": sound}
    return {"artefact_sound": sound} | {
        name: function(models, version) for name, function in VERDICTS.items() if name != "artefact_sound"
    }


def _opened(models: ModelStore, version: str) -> tuple[Artefact, HeldOut]:
    return models.load(version), HeldOut.load(models.path(version) / HELD_OUT)


def _both(held_out: HeldOut, zones: NDArray[np.float64], distance: NDArray[np.float64]) -> dict[str, Comparison]:
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
