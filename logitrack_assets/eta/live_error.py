"""The live error of a version, from the outcomes that count, so that no single account decides it.

An outcome counts if it is plausible and an admin vouches for its account (`service.evaluated_outcomes`). Three steps
make the estimate robust:

1. Within an account an error counts at most `MAX_ERROR_OF_MEDIAN` times the account's median error: a meter that was
   left running moves nothing. For exponentially distributed errors the mean loses 1.6% by that.
2. No account counts for more than a third of the outcomes, or for an equal share where there are fewer than three.
3. From three accounts on, the live error is the weighted median of the accounts' mean errors: accounts with less than
   half of the weight cannot move it beyond what the others report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

MAX_ERROR_OF_MEDIAN = 6.0
MIN_ACCOUNT_OUTCOMES = 30
"""Outcomes below which an account is left out: its mean error says little, and its share would limit the others'."""

_ERRORS_BY_ACCOUNT = """
    with errors as (
        select account_id, abs(real_minutes - predicted_minutes)::float8 as error
        from service.evaluated_outcomes
        where counted and model_version = %(version)s and reported_at > now() - make_interval(days => %(days)s)
    ), medians as (
        select account_id, nullif(percentile_cont(0.5) within group (order by error), 0) as median
        from errors group by account_id having count(*) >= %(min_outcomes)s
    )
    select count(*), avg(least(error, median * %(max_of_median)s))  -- `least` ignores the null of a median of 0
    from errors join medians using (account_id)
    group by account_id
"""


@dataclass(frozen=True)
class LiveError:
    """Error of live predictions against outcomes.

    Attributes:
        outcomes: Number of outcomes that count, each account's limited to its share.
        mae_minutes: Robust mean absolute error; 0 without outcomes.
    """

    outcomes: int
    mae_minutes: float


def read_live_error(connection: psycopg.Connection[Any], version: str, *, days: int) -> LiveError:
    """Return the live error of a version over the last days, from the database of the service."""
    rows = connection.execute(
        _ERRORS_BY_ACCOUNT,
        {
            "version": version,
            "days": days,
            "min_outcomes": MIN_ACCOUNT_OUTCOMES,
            "max_of_median": MAX_ERROR_OF_MEDIAN,
        },
    ).fetchall()
    return combine_accounts([int(count) for count, _ in rows], [float(error) for _, error in rows])


def combine_accounts(counts: Sequence[int], errors: Sequence[float]) -> LiveError:
    """Return the live error from the number of outcomes and the mean error of each account."""
    weights = limited_counts(counts)
    total = sum(weights)
    if not total:
        return LiveError(0, 0.0)
    if len(weights) < 3:
        mean = sum(weight * error for weight, error in zip(weights, errors, strict=True)) / total
        return LiveError(total, mean)
    return LiveError(total, weighted_median(errors, weights))


def limited_counts(counts: Sequence[int]) -> list[int]:
    """Return each account's count, limited so that none exceeds a third of the sum of the result.

    With one or two accounts the share is 1 or 1/2.
    """
    if len(counts) < 2:
        return list(counts)
    first, second, *_ = sorted(counts, reverse=True)
    if len(counts) == 2:
        return [second, second]
    # The limit c solves c = sum(min(count, c)) / 3 with one or with two accounts above it.
    others = sum(counts) - first
    limit = min(others // 2, others - second)
    return [min(count, limit) for count in counts]


def weighted_median(values: Sequence[float], weights: Sequence[int]) -> float:
    """Return the least value at which at least half of the total weight is reached.

    Raises:
        ValueError: There are no values.
    """
    half, reached = sum(weights) / 2, 0
    for value, weight in sorted(zip(values, weights, strict=True)):
        reached += weight
        if reached >= half:
            return value
    raise ValueError("the weighted median of no values")
