"""The state: what it learns, how it answers, and that nothing makes it answer absurdly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live import LiveOutcomes, LiveState, LiveStateError, PreparedOutcomes, dump_state, load_state
from logitrack_assets.eta.live import storage as live_storage
from logitrack_assets.eta.variant import Variant
from logitrack_tests.eta.live.rides import DAY, MODEL_MINUTES, START, merge, rides, trips_at

E = np.e


def learn(state: LiveState, predictor: Predictor, outcomes: LiveOutcomes) -> LiveState:
    state.learn(PreparedOutcomes.from_model(predictor, outcomes))
    return state


def answer(state: LiveState, predictor: Predictor, at: float, **options: float) -> float:
    """Return the mean answer to 50 trips asked and picked up at Unix seconds."""
    asked = np.full(50, at)
    return float(predictor.predict(trips_at(asked, **options), adjuster=state.adjuster(asked, asked)).minutes.mean())


def test_an_empty_state_answers_as_the_model_does(predictor: Predictor) -> None:
    trips, asked = trips_at(START + np.arange(20) * 60), START + np.arange(20) * 60.0
    alone = predictor.predict(trips)
    corrected = predictor.predict(trips, adjuster=LiveState().adjuster(asked, asked))
    for name in ("minutes", "low", "high"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(corrected, name))


def test_answers_follow_the_street(predictor: Predictor) -> None:
    """Rides that take 30% less than predicted: after a few days the answers are within 3% of them."""
    state = learn(LiveState(), predictor, rides(1_500, ratio=0.7, days=5))
    assert answer(state, predictor, START + 5 * DAY) == pytest.approx(0.7 * MODEL_MINUTES, rel=0.03)
    assert answer(state, predictor, START + 400 * DAY) == pytest.approx(MODEL_MINUTES, rel=0.01), "long silence"


def test_the_correction_fades_with_the_distance_of_the_pickup(predictor: Predictor) -> None:
    state = learn(LiveState(), predictor, rides(1_500, ratio=0.7, days=5))
    now = np.array([START + 5 * DAY])
    pickups = now + np.array([0.0, 1.0, 30.0, 300.0, -300.0]) * DAY
    minutes = [
        predictor.predict(trips_at(pickup), adjuster=state.adjuster(now, np.array([pickup]))).minutes[0]
        for pickup in pickups
    ]
    assert minutes[0] < minutes[1] < minutes[2] < minutes[3] < MODEL_MINUTES
    assert minutes[3] == pytest.approx(minutes[4], rel=0.05)


def test_one_outcome_moves_the_next_answer(predictor: Predictor) -> None:
    state = learn(LiveState(), predictor, rides(200, ratio=0.7, days=3))
    before = answer(state, predictor, START + 3 * DAY)
    learn(state, predictor, rides(1, ratio=3.0, days=0.01, first_day=3.0))
    assert answer(state, predictor, START + 3.01 * DAY) > before


def test_a_distance_teaches_both_variants_and_no_distance_only_one(predictor: Predictor) -> None:
    state = learn(LiveState(), predictor, rides(600, ratio=0.7, days=3))
    assert answer(state, predictor, START + 3 * DAY, miles=2.0) == pytest.approx(MODEL_MINUTES / 2)
    state = learn(LiveState(), predictor, rides(900, ratio=0.7, days=3, miles=2.0))
    assert answer(state, predictor, START + 3 * DAY) == pytest.approx(0.7 * MODEL_MINUTES, rel=0.05)
    assert answer(state, predictor, START + 3 * DAY, miles=2.0) == pytest.approx(0.7 * MODEL_MINUTES, rel=0.05)


def test_batches_do_not_matter(predictor: Predictor) -> None:
    """Outcomes learned one by one, and questions asked one by one, give the same bits as all at once."""
    outcomes = rides(300, ratio=0.8, miles=3.0)
    whole, single = learn(LiveState(), predictor, outcomes), LiveState()
    for row in range(len(outcomes)):
        single = learn(single.copy(), predictor, outcomes.take(slice(row, row + 1)))
    assert dump_state(whole) == dump_state(single)
    asked = START + 4 * DAY + np.arange(40) * 300.0
    trips = trips_at(asked)
    together = predictor.predict(trips, adjuster=whole.adjuster(asked, asked))
    alone = [
        predictor.predict(trips.take(slice(n, n + 1)), adjuster=single.adjuster(asked[n : n + 1], asked[n : n + 1]))
        for n in range(40)
    ]
    for name in ("minutes", "low", "high"):
        assert getattr(together, name).tolist() == [getattr(batch, name)[0] for batch in alone]


def test_a_stored_state_goes_on_as_if_it_had_not_been_stored(predictor: Predictor) -> None:
    first = learn(LiveState(), predictor, merge(rides(400, account=1), rides(400, account=2, seed=1)))
    restored = load_state(dump_state(first))
    more = rides(200, ratio=0.5, first_day=4.0, seed=2, account=2)
    assert dump_state(learn(first, predictor, more)) == dump_state(learn(restored, predictor, more))


@pytest.mark.parametrize("content", [b"", b"nonsense", dump_state(LiveState())[:-30]])
def test_bytes_that_are_no_state_are_refused(content: bytes) -> None:
    with pytest.raises(LiveStateError):
        load_state(content)


def test_a_state_of_another_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_storage, "STATE_FORMAT", 99)
    content = dump_state(LiveState())
    monkeypatch.undo()
    with pytest.raises(LiveStateError, match="format 99"):
        load_state(content)


@pytest.mark.parametrize(
    ("minutes", "ended_after", "usable"),
    [
        (12.0, 0.0, True),
        (0.1, 0.0, False),
        (1_440.0, 0.0, False),
        (float("nan"), 0.0, False),
        (float("inf"), 0.0, False),
        (12.0, 3_600.0, False),  # ends after its report
        (12.0, 30.0, True),  # within the skew of two clocks
        (12.0, -20 * DAY, True),
        (12.0, -40 * DAY, False),
        (12.0, float("nan"), False),
    ],
)
def test_outcomes_that_cannot_be_true_are_not_learned(
    predictor: Predictor, minutes: float, ended_after: float, usable: bool
) -> None:
    outcome = LiveOutcomes(
        trips_at(START), np.array([minutes]), np.array([START + ended_after]), np.array([START]), np.array([1])
    )
    assert learn(LiveState(), predictor, outcome).learned == usable


outcome_rows = st.lists(
    st.tuples(
        st.floats(allow_nan=True, allow_infinity=True) | st.floats(1, 180),
        st.floats(-60 * DAY, 60 * DAY) | st.floats(allow_nan=True),
        st.floats(-1e6, 1e8),
        st.integers(1, 4),
        st.integers(1, 263),
        st.integers(1, 263),
        st.sampled_from([float("nan"), 0.5, 30.0]),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(outcome_rows, st.floats(-1e9, 1e9))
def test_no_sequence_of_outcomes_makes_an_absurd_answer(
    predictor: Predictor, rows: list[tuple[float, float, float, int, int, int, float]], asked: float
) -> None:
    """Late, early, doubled, future and absurd outcomes: answers are finite, within the clip, inside their interval."""
    columns = list(zip(*[*rows, *rows], strict=True)) or [()] * 7
    minutes, lead, arrived, account, pickup, dropoff, miles = (np.array(column) for column in columns)
    batch = TripBatch(
        pickup.astype(np.int16),
        dropoff.astype(np.int16),
        (START + arrived.astype(np.float64)).astype(np.int64).astype("datetime64[s]"),
        miles.astype(np.float32),
        np.zeros(len(minutes), dtype=np.int8),
    )
    arrived_at = START + arrived.astype(np.float64)
    outcomes = LiveOutcomes(
        batch, minutes.astype(np.float64), arrived_at + lead.astype(np.float64), arrived_at, account.astype(np.int64)
    )
    state = learn(LiveState(), predictor, outcomes)
    at = np.full(20, START + asked)
    for variant_miles in (float("nan"), 3.0):
        trips = trips_at(np.full(20, START), miles=variant_miles)
        found = predictor.predict(trips, adjuster=state.adjuster(at, np.full(20, START)))
        assert np.isfinite(found.minutes).all()
        assert (found.minutes <= found.base_minutes * E * (1 + 1e-12)).all()
        assert (found.minutes >= found.base_minutes / E * (1 - 1e-12)).all()
        assert (found.low <= found.minutes).all()
        assert (found.minutes <= found.high).all()
    assert dump_state(load_state(dump_state(state))) == dump_state(state)


def test_quantiles_and_levels_do_not_cross_after_a_change(predictor: Predictor) -> None:
    state = learn(LiveState(), predictor, rides(2_000, ratio=0.6, noise=0.6, days=6))
    asked = np.full(30, START + 6 * DAY)
    trips = trips_at(asked)
    adjuster = state.adjuster(asked, asked)
    quantiles = predictor.quantiles(trips, np.linspace(0.01, 0.99, 60), adjuster=adjuster)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    widths = [
        batch.high - batch.low
        for batch in (
            predictor.predict(trips, level=level, adjuster=adjuster) for level in (0.5, 0.6, 0.8, 0.9, 0.95, 0.99)
        )
    ]
    assert all((wide >= narrow).all() for narrow, wide in pairwise(widths))


def test_intervals_cover_again_after_the_noise_changes(predictor: Predictor) -> None:
    """The static interval is far too wide for these rides; after 20 days coverage is within two points of 80%."""
    state = learn(LiveState(), predictor, rides(6_000, noise=0.4, days=20))
    test = rides(2_000, noise=0.4, days=1, first_day=20, seed=9)
    asked = np.full(len(test), START + 20 * DAY)
    static = predictor.predict(test.trips)
    live = predictor.predict(test.trips, adjuster=state.adjuster(asked, asked))
    covered = [float(((test.minutes >= batch.low) & (test.minutes <= batch.high)).mean()) for batch in (static, live)]
    assert covered[0] > 0.9
    assert covered[1] == pytest.approx(0.8, abs=0.02)


def test_the_switch_turns_a_harmful_correction_off_and_on_again(predictor: Predictor) -> None:
    """What was right until yesterday does harm today: the switch opens within a day, and closes when it helps again."""
    state = learn(LiveState(), predictor, rides(1_500, ratio=0.6, days=10, noise=0.1))
    part = state.variants[Variant.ZONES]
    assert part.safety.enabled
    part.weights.weights = -part.weights.weights  # a correction that points the wrong way
    part.weights.gram[:] = part.weights.moment[:] = 0.0
    part.weights.add = lambda *_, **__: None  # type: ignore[method-assign]
    learn(state, predictor, rides(1_500, ratio=0.6, days=10, first_day=10, noise=0.1, seed=3))
    assert not part.safety.enabled
    assert answer(state, predictor, START + 20 * DAY) == pytest.approx(MODEL_MINUTES)
    part.weights.weights = -part.weights.weights
    learn(state, predictor, rides(3_000, ratio=0.6, days=20, first_day=20, noise=0.1, seed=4))
    assert part.safety.enabled
    assert answer(state, predictor, START + 40 * DAY) < 0.8 * MODEL_MINUTES
