"""Score recipes for an ETA on later months and print one table.

    python -m logitrack_tests.benchmarks.yardstick --home .logitrack --fleet green --test 2024-01:2024-02
    python -m logitrack_tests.benchmarks.yardstick --recipe my_package.my_module:my_recipe

Each `--test` is a range of silver months in the home folder; every recipe learns from all earlier ones. Without
`--test`, each of the three newest months is one.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from logitrack_assets.eta.features import FLEETS
from logitrack_assets.eta.variant import Variant
from logitrack_assets.lake import Lake
from logitrack_tests.benchmarks.yardstick.recipes import RECIPES, Past, Recipe
from logitrack_tests.benchmarks.yardstick.scores import Score, difference, read_trips, score

OURS = "logitrack"
HEADER = (
    "| months | inputs | recipe | MAE | RMSE | interval score | coverage | MAE less ours (95% interval) | leaks |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Print the table, a row per range of months, inputs and recipe."""
    arguments = _arguments()
    lake = Lake(arguments.home)
    recipes = RECIPES | {name: _imported(name) for name in arguments.recipe}
    print(HEADER)
    for first, last in _ranges(arguments.test, lake.silver_months()):
        months = [month for month in lake.silver_months() if first <= month <= last]
        earlier = [month for month in lake.silver_months() if month < first]
        tested = read_trips(lake, months, arguments.fleet, rows=arguments.test_rows)
        trips = read_trips(lake, earlier, arguments.fleet, rows=arguments.past_rows)
        with _lake_of(lake, earlier) as past_lake:
            for variant in Variant:
                past = Past(trips.take(variant.mask(trips.batch)), past_lake, variant)
                asked = tested.take(variant.mask(tested.batch))
                scores = {name: score(recipe, past, asked) for name, recipe in recipes.items()}
                for name, result in scores.items():
                    print(_row(f"{first} to {last}", variant.label, name, result, scores[OURS]), flush=True)


@contextmanager
def _lake_of(lake: Lake, months: Sequence[str]) -> Iterator[Lake]:
    """Yield a lake with some of the silver months only, so that no recipe can read later ones."""
    with tempfile.TemporaryDirectory() as home:
        part = Lake(Path(home))
        for month in months:
            part.silver(month).parent.mkdir(parents=True, exist_ok=True)
            part.silver(month).symlink_to(lake.silver(month).resolve(), target_is_directory=True)
        yield part


def _row(months: str, inputs: str, name: str, result: Score, ours: Score) -> str:
    if name == OURS:
        versus = "—"
    else:
        mean, low, high = difference(result, ours)
        versus = f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"
    return (
        f"| {months} | {inputs} | {name} | {result.mae_minutes:.3f} | {result.rmse_minutes:.3f} "
        f"| {result.interval_score:.2f} | {result.coverage:.1%} | {versus} | {result.leak or 'no'} |"
    )


def _ranges(tests: Sequence[str], months: Sequence[str]) -> list[tuple[str, str]]:
    if not tests:
        return [(month, month) for month in months[-3:]]
    return [(first, last or first) for first, _, last in (test.partition(":") for test in tests)]


def _imported(name: str) -> Recipe:
    module, _, function = name.partition(":")
    recipe: Recipe = getattr(importlib.import_module(module), function)
    return recipe


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".logitrack"))
    parser.add_argument("--fleet", default="yellow", choices=FLEETS)
    parser.add_argument("--test", action="append", default=[], help="month or range, YYYY-MM or YYYY-MM:YYYY-MM")
    parser.add_argument("--recipe", action="append", default=[], help="module:function of a further recipe")
    parser.add_argument(
        "--past-rows", type=int, default=1_000_000, help="past trips that the public recipes learn from"
    )
    parser.add_argument("--test-rows", type=int, default=300_000, help="trips that are predicted")
    return parser.parse_args()


if __name__ == "__main__":
    main()
