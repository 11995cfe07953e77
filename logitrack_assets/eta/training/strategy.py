"""The choices that shape a model, as data: what the backtest chooses between and the manifest writes down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Estimator = Literal["xgboost", "gbt"]


@dataclass(frozen=True)
class TrainingStrategy:
    """What the trees are given.

    name: how tables and plots call it.
    recent: whether trees are told how slow the newest month was. Follows a change of traffic within a month; costs a
        little where nothing changes.
    window: newest months to learn from; None takes all.
    half_life: months after which a trip counts half, down to MIN_WEIGHT; None lets all count alike.
    """

    name: str
    recent: bool
    window: int | None = None
    half_life: float | None = None

    def months(self, available: list[int]) -> list[int]:
        """The newest months of the window, of those available."""
        return available if self.window is None else available[-self.window :]

    def weights(self, months: list[int]) -> dict[int, float]:
        """How much a trip of each of the months (month numbers, ascending) counts."""
        if self.half_life is None:
            return dict.fromkeys(months, 1.0)
        return {month: MIN_WEIGHT + 0.5 ** ((months[-1] - month) / self.half_life) for month in months}


MIN_WEIGHT = 0.1

STRATEGIES = (
    TrainingStrategy("all months", recent=False),
    TrainingStrategy("12 months", recent=False, window=12),
    TrainingStrategy("18 months, newest count most, recent delays", recent=True, window=18, half_life=1.0),
    TrainingStrategy("6 months, recent delays", recent=True, window=6),
)
"""From the steadiest to the quickest. In calm months the first two are best by about 2%; after the change of spring
2020 the last is the first to follow, and the third is better from the second month of the new traffic on."""


def distinct(recipes: tuple[TrainingStrategy, ...], months: int) -> list[TrainingStrategy]:
    """The recipes that differ when so many months are there: the first of those with the same rows and tables."""
    seen: dict[tuple[bool, int, float | None], TrainingStrategy] = {}
    for recipe in recipes:
        seen.setdefault((recipe.recent, min(recipe.window or months, months), recipe.half_life), recipe)
    return list(seen.values())


@dataclass(frozen=True)
class TreeParameters:
    """Size and pace of the trees. Squared error on log minutes: within 1% of absolute error in every trial on these
    trips, three times as fast, and its error in minutes is the one that is judged. 300 trees of depth 8 were no more
    exact on 0.2 to 0.5 million trips and less so on 1.8; they take a third longer to answer."""

    estimator: Estimator = "xgboost"
    trees: int = 200
    depth: int = 9
    learning_rate: float = 0.1
    subsample: float = 0.8
    columns_by_tree: float = 0.7
    least_rows_in_leaf: int = 30
    seed: int = 20190801

    def xgboost(self) -> dict[str, Any]:
        """Parameters as XGBoost calls them."""
        return {
            "objective": "reg:squarederror",
            "tree_method": "hist",
            "max_depth": self.depth,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.columns_by_tree,
            "min_child_weight": self.least_rows_in_leaf,
            "seed": self.seed,
        }

    def facts(self) -> dict[str, Any]:
        return asdict(self)


GBT = TreeParameters(estimator="gbt", trees=60, depth=7, learning_rate=0.15, subsample=0.8, columns_by_tree=0.7)
"""MLlib's trees grow level by level on every node at once, and slowly: fewer and shallower ones."""

BACKTEST = TreeParameters(trees=120, depth=7, learning_rate=0.12)
"""Enough to tell recipes apart; their errors are a few percent above the full forests'."""
