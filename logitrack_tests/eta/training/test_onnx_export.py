"""Both estimators come out as the same kind of ONNX, and say there what they said where they were trained."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from logitrack_assets.eta.artifact.predictor import DISTANCE_OUTPUT, ZONES_OUTPUT
from logitrack_assets.eta.features import FEATURES
from logitrack_assets.eta.traffic import without_delays
from logitrack_assets.eta.training.fitting import TrainingContext, count_trips, features_of, fit_variants, silver_trips
from logitrack_assets.eta.training.onnx_export import constant_forest, merge_graphs
from logitrack_assets.eta.training.strategy import TreeParameters
from logitrack_tests.eta.examples import some_trips, write_silver


@pytest.fixture(scope="module")
def silver(tmp_path_factory, spark):
    home = tmp_path_factory.mktemp("silver")
    write_silver(home, "2019-05", some_trips(3_000, month="2019-05"))
    return silver_trips(spark, [home / "lake" / "silver" / "month=2019-05"])


@pytest.mark.parametrize("estimator", ["xgboost", "gbt"])
def test_onnx_says_what_the_estimator_said(silver, estimator):
    month = count_trips(silver).months[0]
    lessons = TrainingContext({month: without_delays()}, {month: 1.0})
    forest = TreeParameters(estimator=estimator, trees=8, depth=4)
    zones, distance = fit_variants(silver, lessons, forest)
    session = onnxruntime.InferenceSession(merge_graphs(zones.onnx, distance.onnx).SerializeToString())
    for trained, output, known in ((zones, ZONES_OUTPUT, False), (distance, DISTANCE_OUTPUT, True)):
        asked = some_trips(500, seed=9, month="2019-05")
        matrix, target = features_of(asked, lessons.tables, with_distance=known)
        served = session.run([output], {"features": matrix})[0].ravel()
        assert served == pytest.approx(trained.score(matrix), abs=1e-4)
        if known:  # invented zones say nothing, invented distances much
            assert np.corrcoef(served, target)[0, 1] > 0.5


def test_trees_for_zones_alone_never_look_at_a_distance(silver):
    month = count_trips(silver).months[0]
    zones, _ = fit_variants(
        silver, TrainingContext({month: without_delays()}, {month: 1.0}), TreeParameters(trees=8, depth=4)
    )
    attributes = {attribute.name: attribute for attribute in zones.onnx.graph.node[0].attribute}
    used = {
        FEATURES[index]
        for index, mode in zip(attributes["nodes_featureids"].ints, attributes["nodes_modes"].strings, strict=True)
        if mode != b"LEAF"
    }
    assert used
    assert not used & {"distance_miles", "distance_over_straight"}


def test_the_same_rows_and_seed_give_the_same_trees(silver):
    month = count_trips(silver).months[0]
    lessons = TrainingContext({month: without_delays()}, {month: 1.0})
    forest = TreeParameters(trees=6, depth=4, seed=7)
    one, again = (fit_variants(silver, lessons, forest) for _ in range(2))
    other = fit_variants(silver.repartition(3), lessons, TreeParameters(trees=6, depth=4, seed=8))
    for a, b in zip(one, again, strict=True):
        assert a.onnx.graph.node == b.onnx.graph.node
    assert one[0].onnx.graph.node != other[0].onnx.graph.node


def test_one_graph_refuses_what_is_no_forest():
    model = constant_forest(1.0)
    model.graph.node[0].op_type = "Identity"
    with pytest.raises(ValueError, match="expected one tree ensemble"):
        merge_graphs(model, constant_forest(1.0))
