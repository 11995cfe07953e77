"""Compare the errors of a trained version with the best public recipe, on months after training.

    python -m logitrack_tests.benchmarks.eta_accuracy --home .logitrack --test 2019-07:2019-09 --fleet yellow

`--home` holds silver months up to and beyond the training months; the newest version there must be trained through a
month before the tested ones (`logitrack materialize` the training months, train, then materialize the test months).
The public recipe is histogram gradient boosting on centroids, boroughs, minute of day, weekday and holiday, with either
loss; the better one counts.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingRegressor

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.dataset import COLUMNS, TripDataset
from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips, regression_metrics
from logitrack_assets.eta.evaluation.slices import MIN_SLICE_TRIPS, slice_metrics
from logitrack_assets.eta.features import FEATURES, FLEETS, feature_matrix
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.traffic import without_delays
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake

PUBLIC = (
    "pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon", "pickup_borough", "dropoff_borough", "minute_of_day",
    "weekday", "is_holiday",
)  # fmt: skip


def read_trips(lake: Lake, months: list[str], fleet: str) -> TripDataset:
    """Return the valid trips of a fleet."""
    columns = [name for name in COLUMNS if name not in ("vendor_id", "dropoff_at")]
    table = pa.concat_tables(
        [
            pq.read_table(file, columns=columns)
            for month in months
            for file in sorted(lake.silver(month).glob("*.parquet"))
        ]
    )
    table = table.filter(pc.equal(table["fleet"], fleet))
    return TripDataset.from_arrow(table.append_column("row", pa.array(np.arange(len(table)))))


def public_recipe_errors(past: TripDataset, tested: TripDataset) -> dict[str, float]:
    """Return the MAE of the public recipe in minutes by loss."""
    places = [FEATURES.index(name) for name in PUBLIC]
    tables = without_delays()
    train, test = (feature_matrix(trips.batch, tables)[:, places] for trips in (past, tested))
    categories = [PUBLIC.index(name) for name in ("pickup_borough", "dropoff_borough", "weekday")]
    found = {}
    for loss in ("absolute_error", "squared_error"):
        model = HistGradientBoostingRegressor(
            loss=loss, max_iter=600, early_stopping=False, categorical_features=categories, random_state=1
        )
        predicted = model.fit(train, past.minutes).predict(test)
        found[loss] = regression_metrics(predicted, tested.minutes).mae_minutes
    return found


def main() -> None:
    """Print the errors of the newest version and of the public recipe."""
    arguments = _arguments()
    lake, models = Lake(arguments.home), ModelRegistry(arguments.home / "models")
    predictor = models.load(models.versions()[-1])
    through = predictor.manifest.trained_through
    first, last = arguments.test.split(":")
    months = [month for month in lake.silver_months() if first <= month <= last]
    if not months or months[0] <= through:
        raise SystemExit(f"{predictor.version} is trained through {through}; test later months.")
    tested = read_trips(lake, months, arguments.fleet)
    print(f"{predictor.version}: {predictor.manifest.recipe['name']}, {len(tested):,} trips of {', '.join(months)}")
    for variant in Variant:
        print_errors(predictor, tested, variant)
    if not arguments.skip_public:
        past = [month for month in lake.silver_months() if month <= through]
        for loss, mae in public_recipe_errors(read_trips(lake, past, arguments.fleet), tested).items():
            print(f"public recipe, {loss:<16} MAE {mae:.3f}")


def print_errors(predictor: Predictor, tested: TripDataset, variant: Variant) -> None:
    """Print errors and coverage of a variant, and its three slices with the largest coverage error."""
    trips = tested.take(variant.mask(tested.batch))
    batch, real = variant.inputs(trips.batch), trips.minutes
    prediction = predictor.predict(batch)
    evaluated = EvaluatedTrips(batch, real, prediction.minutes, prediction.minutes, prediction.low, prediction.high)
    errors = regression_metrics(prediction.minutes, real)
    print(
        f"{variant.label:<15} MAE {errors.mae_minutes:.3f}  RMSE {errors.rmse_minutes:.3f}  "
        f"coverage {evaluated.covered.mean():.3f}  width {evaluated.mean_width_minutes:.2f}"
    )
    parts = [part for part in slice_metrics(evaluated, variant) if part.trips >= MIN_SLICE_TRIPS]
    for part in sorted(parts, key=lambda part: -abs(part.coverage - prediction.level))[:3]:
        print(f"    {part.by} {part.value}: coverage {part.coverage:.3f} of {part.trips:,} trips")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".logitrack"))
    parser.add_argument("--test", required=True, help="first and last month, YYYY-MM:YYYY-MM")
    parser.add_argument("--fleet", default="yellow", choices=FLEETS)
    parser.add_argument("--skip-public", action="store_true", help="only the figures of the model")
    return parser.parse_args()


if __name__ == "__main__":
    main()
