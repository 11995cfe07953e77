"""Two forests as one ONNX graph: trees for zones alone, and trees for zones with a distance.

Both take the same feature matrix; each has its own output, and who asks for one output walks one forest.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from logitrack_assets.eta.artifact.predictor import DISTANCE_OUTPUT, ZONES_OUTPUT
from logitrack_assets.eta.features import FEATURES

INPUT = "features"
_OPSET = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 1)]


def merge_graphs(zones: onnx.ModelProto, distance: onnx.ModelProto) -> onnx.ModelProto:
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
    return _alone(node)


def from_spark_gbt(model: Any) -> onnx.ModelProto:
    """A fitted MLlib `GBTRegressionModel` as ONNX, read from the text in which Spark prints all of its trees.

    A row goes left where its value is at most the threshold. Spark compares in double and ONNX in float32, so a
    threshold is rounded down to the float32 below: for float32 features both then always agree.
    """
    nodes: dict[str, list[Any]] = {
        name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "weights")}
    text = iter(model.toDebugString.splitlines()[1:])
    tree = -1
    weight = 0.0
    free = 0  # the next node's number within its tree

    def read() -> int:
        """Reads one subtree from the text; returns its root's number."""
        nonlocal free
        line = next(text).strip()
        number, free = free, free + 1
        place = len(nodes["nodeids"])
        nodes["treeids"].append(tree)
        nodes["nodeids"].append(number)
        if found := _PREDICT.fullmatch(line):
            kind: tuple[Any, ...] = ("LEAF", 0, 0.0, 0, 0)
            leaves["treeids"].append(tree)
            leaves["nodeids"].append(number)
            leaves["weights"].append(weight * float(found[1]))
        elif found := _IF.fullmatch(line):
            kind = ("BRANCH_LEQ", int(found[1]), _float32_below(float(found[2])), 0, 0)
        else:
            raise ValueError(f"no tree of numbers: {line!r}")
        for name, value in zip(("modes", "featureids", "values", "truenodeids", "falsenodeids"), kind, strict=True):
            nodes[name].append(value)
        if kind[0] != "LEAF":
            nodes["truenodeids"][place] = read()
            if not next(text).strip().startswith("Else"):
                raise ValueError("a branch without its other side")
            nodes["falsenodeids"][place] = read()
        return number

    for line in text:
        found = _TREE.fullmatch(line.strip())
        if not found:
            continue
        tree, weight, free = int(found[1]), float(found[2]), 0
        read()
    attributes: dict[str, Any] = {f"nodes_{name}": values for name, values in nodes.items()}
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_missing_value_tracks_true=[0] * len(nodes["modes"]),
        nodes_hitrates=[1.0] * len(nodes["modes"]),
        target_treeids=leaves["treeids"],
        target_nodeids=leaves["nodeids"],
        target_ids=[0] * len(leaves["weights"]),
        target_weights=leaves["weights"],
        **attributes,
    )
    return _alone(ensemble)


_TREE = re.compile(r"Tree (\d+) \(weight ([-\d.E]+)\):")
_IF = re.compile(r"If \(feature (\d+) <= ([-\d.E]+)\)")
_PREDICT = re.compile(r"Predict: ([-\d.E]+)")


def _float32_below(threshold: float) -> float:
    rounded = np.float32(threshold)
    return float(rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf)))


def _alone(ensemble: onnx.NodeProto) -> onnx.ModelProto:
    graph = helper.make_graph(
        [ensemble],
        "forest",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    return helper.make_model(graph, opset_imports=_OPSET)
