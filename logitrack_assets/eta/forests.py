"""Two forests as one ONNX graph: trees for zones alone, and trees for zones with a distance.

Both take the same feature matrix; each has its own output, and who asks for one output walks one forest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from logitrack_assets.eta.artefact import DISTANCE_OUTPUT, ZONES_OUTPUT
from logitrack_assets.eta.features import FEATURES

INPUT = "features"
_OPSET = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)]


def one_graph(zones: onnx.ModelProto, distance: onnx.ModelProto) -> onnx.ModelProto:
    """Joins two converted forests, each a single tree ensemble, into one graph with two outputs."""
    nodes = [
        _ensemble(zones, output=ZONES_OUTPUT),
        _ensemble(distance, output=DISTANCE_OUTPUT),
    ]
    graph = helper.make_graph(
        nodes,
        "eta",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in (ZONES_OUTPUT, DISTANCE_OUTPUT)],
    )
    model = helper.make_model(graph, opset_imports=_OPSET, producer_name="logitrack", ir_version=8)
    onnx.checker.check_model(model)
    return model


def _ensemble(model: onnx.ModelProto, *, output: str) -> onnx.NodeProto:
    trees = [node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor"]
    if len(trees) != 1:
        raise ValueError(f"expected one tree ensemble, found {[node.op_type for node in model.graph.node]}")
    node = onnx.NodeProto()
    node.CopyFrom(trees[0])
    del node.input[:], node.output[:]
    node.input.append(INPUT)
    node.output.append(output)
    node.name = output
    return node


def from_booster(booster: Any) -> onnx.ModelProto:
    """An XGBoost booster (regression, numeric splits) as ONNX."""
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    booster.feature_names = None
    booster.feature_types = None
    return convert_xgboost(booster, initial_types=[(INPUT, FloatTensorType([None, len(FEATURES)]))])


def constant_forest(value: float) -> onnx.ModelProto:
    """A forest of a single leaf; tests and tiny examples need no training for it."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        ["y"],
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
        target_weights=[float(np.float32(value))],
    )
    graph = helper.make_graph(
        [node],
        "leaf",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    return helper.make_model(graph, opset_imports=_OPSET)
