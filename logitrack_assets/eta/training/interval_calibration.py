"""Calibration of a candidate's intervals on the backtest's folds and the evaluation model, and their coverage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from logitrack_assets.eta.artifact import DEFAULT_LEVEL, Intervals, SliceMetrics
from logitrack_assets.eta.dataset import TripDataset
from logitrack_assets.eta.evaluation.coverage import deviating_slices
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips
from logitrack_assets.eta.evaluation.slices import groups_of_slice, slice_metrics
from logitrack_assets.eta.training.backtest import Backtest, Fold
from logitrack_assets.eta.training.calibration import Residuals, calibrate
from logitrack_assets.eta.training.evaluation_model import Evaluation
from logitrack_assets.eta.variant import Variant
from logitrack_assets.months import Month

MAX_FORWARD_COVERAGE_ERROR = 0.03
"""Largest deviation from the level, on the newest month, of intervals from earlier months. Beyond it the earlier months
do not represent today's uncertainty and are not used."""

_CALIBRATION_ROWS, _COVERAGE_ROWS = slice(0, None, 2), slice(1, None, 2)


@dataclass(frozen=True)
class IntervalCalibration:
    """Calibrated intervals and their coverage.

    Attributes:
        published: Intervals from all residuals, for serving.
        evaluated: By variant, every other trip of the newest month with intervals that are made like the published
            ones but without those trips.
        forward_coverage: By variant, coverage of the newest month by intervals from the earlier months only.
        months: Months whose residuals are used, ascending.
        recalibrated: Slices whose coverage deviated beyond chance: the published intervals of their groups use the
            residuals of the newest month only, or those of a wider group where it has few.
    """

    published: Intervals
    evaluated: dict[Variant, EvaluatedTrips]
    forward_coverage: dict[Variant, float]
    months: list[Month]
    recalibrated: list[SliceMetrics]


def calibrate_intervals(sample: TripDataset, backtest: Backtest, evaluation: Evaluation) -> IntervalCalibration:
    """Calibrate intervals on the months that the trees of each prediction were not trained on.

    Args:
        sample: The trips that the backtest's folds were selected from.
        backtest: The backtest.
        evaluation: The newest month with the predictions of the evaluation model.
    """
    folds = _fold_residuals(sample, backtest, evaluation)
    half = evaluation.take(_CALIBRATION_ROWS).residuals()
    forward = calibrate(Residuals.joined(list(folds.values()) or [half]))
    forward_coverage = {
        variant: float(evaluation.with_intervals(forward, variant).covered.mean()) for variant in Variant
    }
    if max(abs(coverage - DEFAULT_LEVEL) for coverage in forward_coverage.values()) > MAX_FORWARD_COVERAGE_ERROR:
        folds = {}
    tested = calibrate(Residuals.joined([*folds.values(), half]))
    unseen = evaluation.take(_COVERAGE_ROWS)
    evaluated = {variant: unseen.with_intervals(tested, variant) for variant in Variant}
    slices = [part for variant in Variant for part in slice_metrics(evaluated[variant], variant)]
    recalibrated = deviating_slices(slices, DEFAULT_LEVEL) if folds else []
    deviating = np.any([groups_of_slice(part) for part in recalibrated], axis=0) if recalibrated else None
    earlier = [fold if deviating is None else fold.without_groups(deviating) for fold in folds.values()]
    return IntervalCalibration(
        published=calibrate(Residuals.joined([*earlier, evaluation.residuals()])),
        evaluated=evaluated,
        forward_coverage=forward_coverage,
        months=[*folds, backtest.months[-1]],
        recalibrated=recalibrated,
    )


def _fold_residuals(sample: TripDataset, backtest: Backtest, evaluation: Evaluation) -> dict[Month, Residuals]:
    """Return the residuals of the selected strategy by month, without the newest, which the evaluation model covers.

    A fold's trees are trained on fewer trips than the evaluation model and have larger errors, which would make
    intervals too wide. Both predict the newest month; the ratio of their errors there scales the other folds'
    residuals.
    """
    index_of_row = {int(row): index for index, row in enumerate(sample.row)}
    *earlier, newest = backtest.months
    parts: dict[Month, list[Residuals]] = {month: [] for month in earlier}
    for variant in Variant:
        reference = backtest.chosen_fold(newest, variant)
        factor = 1.0 if reference is None else _error_ratio(sample, index_of_row, evaluation, reference)
        for month in earlier:
            fold = backtest.chosen_fold(month, variant)
            if fold is not None:
                trips = _trips_of_fold(sample, index_of_row, fold)
                batch = variant.inputs(trips.batch)
                residuals = Residuals.from_predictions(batch, fold.predicted, trips.minutes)
                parts[month].append(residuals.scaled(factor))
    return {month: Residuals.joined(residuals) for month, residuals in parts.items()}


def _trips_of_fold(sample: TripDataset, index_of_row: dict[int, int], fold: Fold) -> TripDataset:
    return sample.take(np.array([index_of_row[int(row)] for row in fold.row], dtype=np.int64))


def _error_ratio(sample: TripDataset, index_of_row: dict[int, int], evaluation: Evaluation, fold: Fold) -> float:
    """Return the error of the evaluation model relative to that of a fold on the newest month, at most 1."""
    rows = fold.variant.mask(evaluation.trips.batch)
    evaluation_error = _mean_log_error(evaluation.trips.minutes[rows], evaluation.predicted[fold.variant][rows])
    fold_error = _mean_log_error(_trips_of_fold(sample, index_of_row, fold).minutes, fold.predicted)
    return min(1.0, evaluation_error / fold_error)


def _mean_log_error(real: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    return float(np.abs(np.log(real / predicted)).mean())
