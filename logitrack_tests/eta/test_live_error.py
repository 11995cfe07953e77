"""The live error is robust: an account counts for a third at most, and the median of accounts decides."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logitrack_assets.eta.live_error import LiveError, combine_accounts, limited_counts


@given(st.lists(st.integers(1, 1_000_000), min_size=3, max_size=12))
def test_no_account_exceeds_a_third(counts: list[int]) -> None:
    limited = limited_counts(counts)
    assert all(1 <= part <= count for part, count in zip(limited, counts, strict=True))
    assert max(limited) * 3 <= sum(limited)


@pytest.mark.parametrize(
    ("counts", "limited"),
    [
        ([], []),
        ([700], [700]),
        ([700, 90], [90, 90]),
        ([100, 100, 100], [100, 100, 100]),
        ([900, 100, 100], [100, 100, 100]),
        ([900, 800, 60, 50], [110, 110, 60, 50]),
        ([500, 300, 300, 200], [400, 300, 300, 200]),
    ],
)
def test_counts_are_limited_as_little_as_needed(counts: list[int], limited: list[int]) -> None:
    assert limited_counts(counts) == limited


@pytest.mark.parametrize(
    ("counts", "errors", "expected"),
    [
        ([], [], LiveError(0, 0.0)),
        ([500], [4.0], LiveError(500, 4.0)),
        ([500, 300], [4.0, 6.0], LiveError(600, 5.0)),
        ([400, 400, 400], [3.0, 4.0, 100.0], LiveError(1200, 4.0)),
    ],
)
def test_live_error_is_the_median_of_accounts(
    counts: Sequence[int], errors: Sequence[float], expected: LiveError
) -> None:
    assert combine_accounts(counts, errors) == expected


def test_liars_with_a_fifth_of_the_accounts_do_not_move_it_beyond_the_others() -> None:
    honest = [3.2, 3.4, 3.5, 3.9]
    assert min(honest) <= combine_accounts([400] * 5, [*honest, 170.0]).mae_minutes <= max(honest)
