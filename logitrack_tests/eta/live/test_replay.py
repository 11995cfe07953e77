"""The replay: event-time order, no look at the future, and figures that add up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from logitrack_assets.eta.artifact import Predictor
from logitrack_assets.eta.live.replay import Replay, replay_trips, summarise_replay
from logitrack_assets.eta.variant import Variant
from logitrack_tests.eta.live.rides import DAY, START, merge, rides


@pytest.fixture(scope="module")
def replay(predictor: Predictor) -> Replay:
    """Three calm days, then five days on which rides take 40% less."""
    trips = merge(rides(900, days=3), rides(1_500, days=5, first_day=3, ratio=0.6, seed=1, miles=2.0))
    return replay_trips(predictor, trips.trips, trips.minutes)


def test_live_answers_beat_static_ones_after_the_change(replay: Replay) -> None:
    figures = summarise_replay(replay)["variants"]["zones"]
    last = figures["by_day"][-1]
    assert last["live"]["mae_minutes"] < 0.6 * last["static"]["mae_minutes"]
    first = figures["by_day"][1]
    assert first["live"]["mae_minutes"] == pytest.approx(first["static"]["mae_minutes"], rel=0.05)


def test_no_answer_knows_the_future(predictor: Predictor, replay: Replay) -> None:
    """The answers of the first days are the same when the later days are not replayed."""
    early = replay.trips.pickup_at < np.datetime64(int(START + 3 * DAY), "s")
    part = replay_trips(predictor, replay.trips.take(early), replay.real[early])
    for name in ("minutes", "low", "high"):
        np.testing.assert_array_equal(
            getattr(part.live[Variant.ZONES], name), getattr(replay.live[Variant.ZONES], name)[early]
        )


def test_reports_that_come_a_day_late_help_a_day_later(predictor: Predictor, replay: Replay) -> None:
    late = replay_trips(predictor, replay.trips, replay.real, late_minutes=1_440)
    prompt, delayed = (summarise_replay(entry)["variants"]["zones"]["by_day"] for entry in (replay, late))
    assert delayed[4]["live"]["mae_minutes"] > prompt[4]["live"]["mae_minutes"]
    assert delayed[-1]["live"]["mae_minutes"] < 0.7 * delayed[-1]["static"]["mae_minutes"]


def test_a_fifth_of_lies_costs_less_than_5_percent(predictor: Predictor, replay: Replay) -> None:
    lied = replay_trips(predictor, replay.trips, replay.real, liars=0.2)
    honest_figures, lied_figures = (
        summarise_replay(entry)["variants"]["zones"]["overall"]["live"]["mae_minutes"] for entry in (replay, lied)
    )
    assert lied_figures <= 1.05 * honest_figures
    assert lied.state.accounts.excluded == [0]


def test_the_figures_add_up(replay: Replay) -> None:
    document = summarise_replay(replay)
    json.dumps(document)
    zones, distance = document["variants"]["zones"], document["variants"]["distance"]
    assert zones["overall"]["trips"] == 2_400
    assert distance["overall"]["trips"] == 1_500
    for name in ("by_month", "by_day", "by_hour", "by_pickup_borough"):
        assert sum(row["trips"] for row in zones[name]) == 2_400
    overall = zones["overall"]["static"]
    weighted = sum(row["trips"] * row["static"]["mae_minutes"] for row in zones["by_day"]) / 2_400
    assert overall["mae_minutes"] == pytest.approx(weighted, abs=1e-3)
    assert overall["interval_score"] >= overall["width_minutes"]
    assert zones["days"] == len(zones["by_day"])
    assert zones["worst_day"]["live"]["mae_minutes"] == max(row["live"]["mae_minutes"] for row in zones["by_day"])
