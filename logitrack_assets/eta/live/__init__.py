"""Live correction: each finished ride improves the next answer.

    r = clip(log(real / predicted), ±1)          of an outcome that counts
    x = decayed means of r in seven stages       city, length, hours, zones, pair, last hours; each of what was left
    answer = predicted · exp(clip(x · w, ±1))    w: a ridge regression, refitted every few outcomes

Both tails of the interval follow by slow quantile tracking, a running comparison with the uncorrected answer switches
the correction off where it does harm, and no single account decides it. A state belongs to a model version; it depends
only on the sequence of outcomes, so every worker and every later recomputation gets the same one, to the bit.

Imports light: numpy and what the artifact needs. Import names from this package, not from its modules.
"""

from logitrack_assets.eta.live.outcomes import (
    MAX_OUTCOME_AGE_DAYS,
    LiveOutcomes,
    PreparedOutcomes,
)
from logitrack_assets.eta.live.state import MAX_LOG_CORRECTION, LiveState, StateAdjuster, describe_state
from logitrack_assets.eta.live.storage import STATE_FORMAT, LiveStateError, dump_state, load_state

__all__ = [
    "MAX_LOG_CORRECTION",
    "MAX_OUTCOME_AGE_DAYS",
    "STATE_FORMAT",
    "LiveOutcomes",
    "LiveState",
    "LiveStateError",
    "PreparedOutcomes",
    "StateAdjuster",
    "describe_state",
    "dump_state",
    "load_state",
]
