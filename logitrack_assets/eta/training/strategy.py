"""Training strategies and tree parameters as data: the backtest selects among them, the manifest records them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from logitrack_assets.months import Month

Estimator = Literal["xgboost", "gbt"]

MIN_WEIGHT = 0.1


@dataclass(frozen=True)
class TrainingStrategy:
    """Which trips the trees are trained on, and with which features.

    Attributes:
        name: Name in tables and plots.
        recent: Whether the trees receive the newest month's delay. It follows a traffic change within a month, and
            costs accuracy where traffic does not change.
        window: Number of newest months to train on; None for all.
        half_life: Months after which a trip's weight halves, down to MIN_WEIGHT; None for equal weights.
    """

    name: str
    recent: bool
    window: int | None = None
    half_life: float | None = None

    def months(self, available: Sequence[Month]) -> list[Month]:
        """Return the months of the window, of those available (ascending)."""
        return list(available if self.window is None else available[-self.window :])

    def weights(self, months: Sequence[Month]) -> dict[Month, float]:
        """Return the weight of a trip by month (ascending)."""
        if self.half_life is None:
            return dict.fromkeys(months, 1.0)
        newest = months[-1].number
        return {month: MIN_WEIGHT + 0.5 ** ((newest - month.number) / self.half_life) for month in months}


STRATEGIES = (
    TrainingStrategy("all months", recent=False),
    TrainingStrategy("12 months", recent=False, window=12),
    TrainingStrategy("18 months, newest count most, recent delays", recent=True, window=18, half_life=1.0),
    TrainingStrategy("6 months, recent delays", recent=True, window=6),
)
"""From the most stable to the most responsive. In calm months the first two are best by about 2%; after the change of
spring 2020 the last adapts first, and the third is better from the second month of the new traffic on."""


def distinct_strategies(strategies: Sequence[TrainingStrategy], months: int) -> list[TrainingStrategy]:
    """Return the strategies that differ when `months` months are available: the first of those that coincide."""
    first: dict[tuple[bool, int, float | None], TrainingStrategy] = {}
    for strategy in strategies:
        key = (strategy.recent, min(strategy.window or months, months), strategy.half_life)
        first.setdefault(key, strategy)
    return list(first.values())


@dataclass(frozen=True)
class TreeParameters:
    """Parameters of the boosted trees.

    The loss is squared error on log minutes: within 1% of absolute error in every trial on these trips and three times
    as fast. 300 trees of depth 8 were no more exact on 0.2 to 0.5 million trips and less exact on 1.8 million, and
    their predictions take a third longer.
    """

    estimator: Estimator = "xgboost"
    trees: int = 200
    depth: int = 9
    learning_rate: float = 0.1
    subsample: float = 0.8
    columns_by_tree: float = 0.7
    least_rows_in_leaf: int = 30
    seed: int = 20190801

    def xgboost(self) -> dict[str, Any]:
        """Return the parameters by XGBoost's names."""
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
        """Return the parameters as the manifest records them."""
        return asdict(self)


GBT = TreeParameters(estimator="gbt", trees=60, depth=7, learning_rate=0.15, subsample=0.8, columns_by_tree=0.7)
"""MLlib grows its trees level by level and slowly, hence fewer and shallower ones."""

BACKTEST = TreeParameters(trees=120, depth=7, learning_rate=0.12)
"""Sufficient to rank strategies; the errors are a few percent above those of full-size trees."""


@dataclass(frozen=True)
class TrainingOptions:
    """Options of one training.

    Attributes:
        estimator: XGBoost or MLlib's gradient-boosted trees.
        window: Number of newest months to use; None for all.
        folds: Number of newest months that the backtest predicts.
        trees: Number of trees of each variant; None for the estimator's default.
        seed: Seed of sampling and training.
    """

    estimator: Estimator = "xgboost"
    window: int | None = None
    folds: int = 3
    trees: int | None = None
    seed: int = 20190801

    @property
    def parameters(self) -> TreeParameters:
        """The parameters of the full-size trees."""
        defaults = GBT if self.estimator == "gbt" else TreeParameters()
        return replace(defaults, trees=self.trees or defaults.trees, seed=self.seed)
