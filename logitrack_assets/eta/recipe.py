"""The choices that shape a model, as data: what the backtest chooses between and the manifest writes down."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Estimator = Literal["xgboost", "gbt"]


@dataclass(frozen=True)
class Recipe:
    """What the trees are given.

    name: how tables and plots call it.
    recent: whether trees are told how slow the newest month was. Follows a change of traffic within a month; costs a
        little where nothing changes.
    window: newest months to learn from; None takes all.
    """

    name: str
    recent: bool
    window: int | None = None

    def months(self, available: list[int]) -> list[int]:
        """The newest months of the window, of those available."""
        return available if self.window is None else available[-self.window :]


RECIPES = (
    Recipe("all months", recent=False),
    Recipe("12 months", recent=False, window=12),
    Recipe("all months, recent delays", recent=True),
    Recipe("12 months, recent delays", recent=True, window=12),
    Recipe("6 months, recent delays", recent=True, window=6),
)


def distinct(recipes: tuple[Recipe, ...], months: int) -> list[Recipe]:
    """The recipes that differ when so many months are there: the first of those with the same rows and tables."""
    seen: dict[tuple[bool, int], Recipe] = {}
    for recipe in recipes:
        seen.setdefault((recipe.recent, min(recipe.window or months, months)), recipe)
    return list(seen.values())


@dataclass(frozen=True)
class Forest:
    """Size and pace of the trees. Squared error on log minutes: within 1% of absolute error in every trial on these
    trips, three times as fast, and its error in minutes is the one that is judged."""

    estimator: Estimator = "xgboost"
    trees: int = 300
    depth: int = 8
    learning_rate: float = 0.08
    subsample: float = 0.8
    columns_by_tree: float = 0.7
    least_rows_in_leaf: int = 10
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


GBT = Forest(estimator="gbt", trees=60, depth=7, learning_rate=0.15, subsample=0.8, columns_by_tree=0.7)
"""MLlib's trees grow level by level on every node at once, and slowly: fewer and shallower ones."""

BACKTEST = Forest(trees=120, depth=7, learning_rate=0.12)
"""Enough to tell recipes apart; their errors are a few percent above the full forests'."""
