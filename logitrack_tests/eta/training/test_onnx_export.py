"""ONNX export: both estimators predict the same as their ONNX trees."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import xgboost

from logitrack_assets.eta.dataset import silver_trips
from logitrack_assets.eta.features import FEATURES
from logitrack_assets.eta.traffic import without_delays
from logitrack_assets.eta.training.context import TrainingContext
from logitrack_assets.eta.training.fitting import fit_variants
from logitrack_assets.eta.training.onnx_export import constant_forest, from_booster, merge_graphs
from logitrack_assets.eta.training.strategy import TreeParameters
from logitrack_assets.eta.variant import Variant
from logitrack_assets.months import Month
from logitrack_tests.eta.examples import random_trips, write_silver

MAY = Month.parse("2019-05")
CONTEXT = TrainingContext({MAY: without_delays()}, {MAY: 1.0})


def predict(model: onnx.ModelProto, matrix: np.ndarray, *, output: str | None = None) -> np.ndarray:
    """Return the output of a graph on one thread, as the service runs it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run([output] if output else None, {"features": matrix})[0].ravel()


def random_booster(rows: int = 20_000, trees: int = 200) -> xgboost.Booster:
    """Return a booster with the parameters of training, fitted to noise with a signal."""
    random = np.random.default_rng(1)
    matrix = random.normal(size=(rows, len(FEATURES))).astype(np.float32)
    target = 2.7 + 0.3 * matrix[:, 0] + np.sin(matrix[:, 1]) + random.normal(0, 0.3, rows)
    return xgboost.train({**TreeParameters().xgboost(), "nthread": 2}, xgboost.DMatrix(matrix, target), trees)


def test_xgboost_export_is_exact():
    """Compare 200 trees of depth 9 on 30,000 rows: the largest difference of log(minutes) is 0.0.

    10,000 rows are random, in 10,000 eight features lie exactly on thresholds of the trees, and in 10,000 a fifth of
    the values is missing. ONNX Runtime sums the trees in XGBoost's order on one thread. With several threads it sums in
    another order, and the difference reaches 4e-6.
    """
    booster = random_booster()
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    thresholds = [
        (feature, np.float32(threshold))
        for tree in trees
        for feature, threshold, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        )
        if left != -1
    ]
    random = np.random.default_rng(2)
    matrix = random.normal(size=(30_000, len(FEATURES))).astype(np.float32)
    for row in range(10_000, 20_000):
        for index in random.integers(0, len(thresholds), 8):
            feature, threshold = thresholds[index]
            matrix[row, feature] = threshold
    matrix[20_000:][random.random((10_000, len(FEATURES))) < 0.2] = np.nan
    expected = booster.predict(xgboost.DMatrix(matrix))
    assert np.abs(predict(from_booster(booster), matrix) - expected).max() == 0.0


def test_xgboost_export_of_a_tree_without_splits_is_exact():
    matrix = np.random.default_rng(3).normal(size=(10, len(FEATURES))).astype(np.float32)
    parameters = {"objective": "reg:squarederror", "min_child_weight": 1e9}
    booster = xgboost.train(parameters, xgboost.DMatrix(matrix, np.full(10, 2.5)), 3)
    assert (predict(from_booster(booster), matrix) == booster.predict(xgboost.DMatrix(matrix))).all()


def test_xgboost_export_of_another_objective_raises():
    matrix = np.random.default_rng(3).normal(size=(10, len(FEATURES))).astype(np.float32)
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(matrix, np.arange(10) % 2), 1)
    with pytest.raises(ValueError, match="cannot export objective binary:logistic"):
        from_booster(booster)


def test_constant_forest_predicts_its_value():
    assert predict(constant_forest(1.25), np.zeros((3, len(FEATURES)), np.float32)).tolist() == [1.25] * 3


@pytest.fixture(scope="module")
def silver(tmp_path_factory, spark):
    home = tmp_path_factory.mktemp("silver")
    write_silver(home, "2019-05", random_trips(3_000, month="2019-05"))
    return silver_trips(spark, [home / "lake" / "silver" / "month=2019-05"])


@pytest.mark.parametrize("estimator", ["xgboost", "gbt"])
def test_onnx_predicts_like_the_estimator(silver, estimator):
    models = fit_variants(silver, CONTEXT, TreeParameters(estimator=estimator, trees=8, depth=4))
    graph = merge_graphs({variant: model.onnx for variant, model in models.items()})
    trips = random_trips(500, seed=9, month="2019-05")
    for variant, model in models.items():
        matrix, target = CONTEXT.matrix(trips, variant)
        served = predict(graph, matrix, output=variant.onnx_output)
        assert served == pytest.approx(model.score(matrix), abs=1e-4)
        if variant is Variant.DISTANCE:  # random zones do not predict the duration, random distances do
            assert np.corrcoef(served, target)[0, 1] > 0.5


def test_zones_only_trees_do_not_split_on_the_distance(silver):
    models = fit_variants(silver, CONTEXT, TreeParameters(trees=8, depth=4))
    attributes = {attribute.name: attribute for attribute in models[Variant.ZONES].onnx.graph.node[0].attribute}
    splits = onnx.numpy_helper.to_array(attributes["nodes_splits"].t)
    used = {FEATURES[index] for index in attributes["nodes_featureids"].ints}
    assert len(splits) > 8  # more splits than the single one of the base score
    assert used
    assert not used & {"distance_miles", "distance_over_straight"}


def test_same_rows_and_seed_give_the_same_trees(silver):
    parameters = TreeParameters(trees=6, depth=4, seed=7)
    first, again = (fit_variants(silver, CONTEXT, parameters) for _ in range(2))
    other = fit_variants(silver.repartition(3), CONTEXT, TreeParameters(trees=6, depth=4, seed=8))
    for variant in Variant:
        assert first[variant].onnx.graph.node == again[variant].onnx.graph.node
    assert first[Variant.ZONES].onnx.graph.node != other[Variant.ZONES].onnx.graph.node


def test_merging_a_graph_without_trees_raises():
    model = constant_forest(1.0)
    model.graph.node[0].op_type = "Identity"
    with pytest.raises(ValueError, match="expected one tree ensemble"):
        merge_graphs({Variant.ZONES: model, Variant.DISTANCE: constant_forest(1.0)})
