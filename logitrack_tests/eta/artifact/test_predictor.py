"""Predictions of a loaded version: both variants, interval levels, quantiles and extrapolation."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from logitrack_assets.eta.artifact import MODEL, TrainingMonth, write_manifest
from logitrack_assets.eta.features import FEATURES, TripBatch
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.variant import Variant
from logitrack_tests.eta.examples import publish_version


@pytest.fixture
def models(tmp_path):
    return ModelRegistry(tmp_path / "models")


def test_predict_uses_the_variant_of_each_trip(models):
    predictor = models.load(publish_version(models, zones=12, distance=9))
    prediction = predictor.predict(
        TripBatch.from_columns([161, 161, 4], [236, 236, 5], ["2019-06-03T08:30:00"] * 3, [np.nan, 2.0, np.nan])
    )
    assert prediction.minutes == pytest.approx([12, 9, 12], rel=1e-6)
    assert (prediction.low < prediction.minutes).all()
    assert (prediction.minutes < prediction.high).all()
    assert prediction.support.tolist() == [400, 400, 0]
    assert prediction.extrapolating.tolist() == [False, False, True]
    assert prediction.distance_source == ["none", "given", "none"]


def test_intervals_widen_with_the_level_and_invalid_levels_raise(models):
    predictor = models.load(publish_version(models))
    trip = TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"])
    widths = [
        float((a.high - a.low)[0])
        for a in (predictor.predict(trip, level=level) for level in (0.5, 0.8, 0.9, 0.95, 0.99))
    ]
    assert widths == sorted(widths)
    assert widths[0] > 0
    for level in (0.49, 0.991, 80):
        with pytest.raises(ValueError, match="level must be between"):
            predictor.predict(trip, level=level)


def test_quantiles_increase_with_probability(models):
    predictor = models.load(publish_version(models))
    minutes = predictor.quantiles(
        TripBatch.from_columns([161], [236], ["2019-06-03T08:30:00"]), np.array([0.1, 0.5, 0.9])
    )
    assert minutes.shape == (1, 3)
    assert (np.diff(minutes[0]) > 0).all()
    with pytest.raises(ValueError, match="probabilities must be between"):
        predictor.quantiles(TripBatch.from_columns([161], [236], ["2019-06-03"]), np.array([0.9999]))


def test_fleet_absent_from_training_is_extrapolated(models):
    predictor = models.load(publish_version(models, fleets=("yellow",)))
    assert predictor.predict(TripBatch.from_columns([161], [236], ["2019-06-03"], fleet="green")).extrapolating.all()


@pytest.mark.parametrize(
    ("pickup_at", "extrapolating"),
    [
        ("2018-05-31T23:59:59", True),
        ("2018-06-01T00:00:00", False),
        ("2020-06-30T23:59:59", False),
        ("2020-07-01T00:00:00", True),
        ("2026-11-24T12:00:00", True),
    ],
)
def test_pickup_more_than_a_year_from_the_training_months_is_extrapolated(models, pickup_at, extrapolating):
    predictor = models.load(publish_version(models, trained_through="2019-06"))
    assert predictor.predict(TripBatch.from_columns([161], [236], [pickup_at])).extrapolating.tolist() == [
        extrapolating
    ]


def test_default_fleet_has_the_most_training_trips(models):
    predictor = models.load(publish_version(models, fleets=("yellow", "green")))
    assert predictor.default_fleet == "yellow"  # as many of each: the first
    green = TrainingMonth(month="2019-06", fleet="green", trips=10**7, bronze_sha256=None)
    manifest = predictor.manifest.model_copy(update={"training": [*predictor.manifest.training, green]})
    assert manifest.default_fleet == "green"
    assert models.load(publish_version(models, zones=13, fleets=("green",))).default_fleet == "green"


def opset_1_graph(minutes: dict[Variant, float]) -> onnx.ModelProto:
    """Return a graph as earlier releases published it: `TreeEnsembleRegressor` of ai.onnx.ml opset 1."""
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor",
            ["features"],
            [variant.onnx_output],
            domain="ai.onnx.ml",
            n_targets=1,
            nodes_treeids=[0],
            nodes_nodeids=[0],
            nodes_featureids=[0],
            nodes_modes=["LEAF"],
            nodes_values=[0.0],
            nodes_truenodeids=[0],
            nodes_falsenodeids=[0],
            nodes_missing_value_tracks_true=[0],
            nodes_hitrates=[1.0],
            target_treeids=[0],
            target_nodeids=[0],
            target_ids=[0],
            target_weights=[float(np.log(value))],
        )
        for variant, value in minutes.items()
    ]
    graph = helper.make_graph(
        nodes,
        "eta",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info(variant.onnx_output, TensorProto.FLOAT, [None, 1]) for variant in minutes],
    )
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def test_graph_of_an_earlier_release_loads_and_predicts(models):
    version = publish_version(models)
    folder, manifest = models.path(version), models.manifest(version)
    onnx.save(opset_1_graph({Variant.ZONES: 21.0, Variant.DISTANCE: 17.0}), folder / MODEL)
    write_manifest(folder, manifest)
    trips = TripBatch.from_columns([161, 161], [236, 236], ["2019-06-03T08:30:00"] * 2, [np.nan, 2.0])
    assert models.load(version).minutes(trips) == pytest.approx([21, 17], rel=1e-6)
