"""The trips of one training: silver months, their counts, and a sample for the backtest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.dataset import TripDataset, collect_sample, in_months, silver_trips
from logitrack_assets.eta.training.strategy import TrainingOptions
from logitrack_assets.eta.trip_counts import TripCounts, count_trips
from logitrack_assets.lake import Lake
from logitrack_assets.months import Month

MIN_TRAINING_TRIPS = 2_000
"""With fewer trips the baseline has medians of almost no zone pair, and trees would learn no more."""
MIN_EVALUATION_TRIPS = 300
"""With fewer trips in the newest month the standard error of its MAE exceeds 5%, too much to tell models apart."""
MAX_BACKTEST_TRIPS = 300_000

_NO_TRIPS = "There are no valid trips to train on"


class TrainingError(LogitrackError):
    """The available trips do not suffice for a model."""


@dataclass(frozen=True)
class TrainingData:
    """The trips of one training.

    Attributes:
        trips: All trips, with the columns of `silver_trips`.
        counts: Counts of trips and delays by month.
        sample: A sample of all trips for the backtest.
    """

    trips: DataFrame
    counts: TripCounts
    sample: TripDataset

    @property
    def months(self) -> list[Month]:
        """All months, ascending."""
        return self.counts.months

    @property
    def past(self) -> list[Month]:
        """The months before the newest, which the evaluation model is trained on."""
        return self.months[:-1]

    @property
    def newest(self) -> Month:
        """The newest month, which the evaluation model predicts."""
        return self.months[-1]

    def newest_trips(self) -> DataFrame:
        """Return the trips of the newest month."""
        return in_months(self.trips, [self.newest])

    def fold_months(self, folds: int) -> list[Month]:
        """Return the months that the backtest predicts: the newest, and the newest earlier ones with enough trips."""
        enough = [month for month in self.past[1:] if self.counts.trips_in_month(month) >= MIN_EVALUATION_TRIPS]
        return [*enough[max(len(enough) - (folds - 1), 0) :], self.newest]


def read_training_data(
    session: SparkSession, lake: Lake, options: TrainingOptions, months: Sequence[str]
) -> TrainingData:
    """Count and sample the trips of the newest silver months.

    Args:
        session: The Spark session.
        lake: The lake with the silver months.
        options: Options of the training; its window counts among `months`.
        months: Silver months that may be used, ascending.

    Raises:
        TrainingError: There are too few months or trips.
    """
    keys = list(months)
    if options.window is not None:
        keys = keys[-options.window :]
    if not keys:
        raise TrainingError(f"{_NO_TRIPS}.", hint="Run `logitrack materialize --months …` first.")
    trips = silver_trips(session, [lake.silver(key) for key in keys])
    counts = count_trips(trips)
    _require_enough(counts)
    total = counts.total(counts.months)
    sample = collect_sample(trips, rows=MAX_BACKTEST_TRIPS, total=total, seed=options.seed)
    return TrainingData(trips, counts, sample)


def _require_enough(counts: TripCounts) -> None:
    months = counts.months
    if not months:
        raise TrainingError(f"{_NO_TRIPS}.", hint="Load months with `logitrack materialize` first.")
    if len(months) < 2:
        raise TrainingError(
            f"One month of trips ({months[0]}) is too little: a model is evaluated on a month after its training "
            "months.",
            hint="Load another month.",
        )
    past_trips, newest_trips = counts.total(months[:-1]), counts.trips_in_month(months[-1])
    if past_trips < MIN_TRAINING_TRIPS:
        raise TrainingError(
            f"Too few trips to train: {past_trips:,} in {len(months) - 1} months before the newest; "
            f"at least {MIN_TRAINING_TRIPS:,} are needed.",
            hint="Load more months.",
        )
    if newest_trips < MIN_EVALUATION_TRIPS:  # only a truncated or broken month has so few
        raise TrainingError(
            f"Too few trips to evaluate a model: {newest_trips:,} in {months[-1]}; "
            f"at least {MIN_EVALUATION_TRIPS:,} are needed."
        )
