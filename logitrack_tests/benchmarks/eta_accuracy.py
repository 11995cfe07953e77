"""How close a trained version comes, beside the best public recipe, on the same months after training.

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

from logitrack_assets.eta.evaluation.metrics import EvaluatedTrips, errors, slices
from logitrack_assets.eta.features import FEATURES, feature_matrix
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.traffic import without_delays
from logitrack_assets.eta.training.fitting import COLUMNS, TripDataset, to_trips
from logitrack_assets.lake import Lake

PUBLIC = (
    "pickup_lat", "pickup_lon", "dropoff_lat", "dropoff_lon", "pickup_borough", "dropoff_borough", "minute_of_day",
    "weekday", "is_holiday",
)  # fmt: skip


FEWEST = 1_000  # trips of a slice whose coverage says something


def read(lake: Lake, months: list[str], fleet: str) -> TripDataset:
    """Silver trips of a fleet."""
    columns = [name for name in COLUMNS if name not in ("vendor_id", "dropoff_at")]
    table = pa.concat_tables(
        [
            pq.read_table(file, columns=columns)
            for month in months
            for file in sorted(lake.silver(month).glob("*.parquet"))
        ]
    )
    table = table.filter(pc.equal(table["fleet"], fleet))
    return to_trips(table.append_column("row", pa.array(np.arange(len(table)))))


def public_recipe(past: TripDataset, asked: TripDataset) -> dict[str, float]:
    """MAE in minutes of the public recipe with each loss."""
    places = [FEATURES.index(name) for name in PUBLIC]
    tables = without_delays()
    learned, tested = (feature_matrix(trips.batch, tables)[:, places] for trips in (past, asked))
    categories = [PUBLIC.index(name) for name in ("pickup_borough", "dropoff_borough", "weekday")]
    found = {}
    for loss in ("absolute_error", "squared_error"):
        model = HistGradientBoostingRegressor(
            loss=loss, max_iter=600, early_stopping=False, categorical_features=categories, random_state=1
        )
        found[loss] = errors(model.fit(learned, past.minutes).predict(tested), asked.minutes).mae_minutes
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".logitrack"))
    parser.add_argument("--test", required=True, help="first and last month, YYYY-MM:YYYY-MM")
    parser.add_argument("--fleet", default="yellow", choices=("yellow", "green"))
    parser.add_argument("--skip-public", action="store_true", help="our own figures only")
    arguments = parser.parse_args()
    lake, models = Lake(arguments.home), ModelRegistry(arguments.home / "models")
    artifact = models.load(models.versions()[-1])
    first, last = arguments.test.split(":")
    tested = [month for month in lake.silver_months() if first <= month <= last]
    if not tested or tested[0] <= artifact.manifest.trained_through:
        raise SystemExit(
            f"{artifact.version} is trained through {artifact.manifest.trained_through}; test later months."
        )
    asked = read(lake, tested, arguments.fleet)
    known = asked.take(asked.batch.distance_miles > 0)
    print(f"{artifact.version}: {artifact.manifest.recipe['name']}, {len(asked):,} trips of {', '.join(tested)}")
    for name, trips, batch in (
        ("zones only", asked, asked.batch.without_distance()),
        ("with distance", known, known.batch),
    ):
        answer = artifact.predict(batch)
        found = errors(answer.minutes, trips.minutes)
        covered = float(np.mean((answer.low <= trips.minutes) & (trips.minutes <= answer.high)))
        print(
            f"{name:<15} MAE {found.mae_minutes:.3f}  RMSE {found.rmse_minutes:.3f}  coverage {covered:.3f}  "
            f"width {float(np.mean(answer.high - answer.low)):.2f}"
        )
        judged = EvaluatedTrips(batch, trips.minutes, answer.minutes, answer.minutes, answer.low, answer.high)
        parts = [part for part in slices(judged, distance_known=batch is known.batch) if part.trips >= FEWEST]
        for part in sorted(parts, key=lambda part: -abs(part.coverage - answer.level))[:3]:
            print(f"    {part.by} {part.value}: coverage {part.coverage:.3f} of {part.trips:,} trips")
    if not arguments.skip_public:
        past = [month for month in lake.silver_months() if month <= artifact.manifest.trained_through]
        for loss, mae in public_recipe(read(lake, past, arguments.fleet), asked).items():
            print(f"public recipe, {loss:<16} MAE {mae:.3f}")


if __name__ == "__main__":
    main()
