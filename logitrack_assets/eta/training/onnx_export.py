"""Boosted trees as ONNX: export of both estimators, and one graph with the trees of both variants.

Each ensemble becomes one `TreeEnsemble` node (ai.onnx.ml opset 5; ONNX Runtime sums its trees in order, in float32). In
the merged graph both nodes read the same feature matrix; a request for one output evaluates one ensemble.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper

from logitrack_assets.eta.features import FEATURES
from logitrack_assets.eta.variant import Variant

if TYPE_CHECKING:
    import xgboost
    from pyspark.ml.regression import GBTRegressionModel

INPUT = "features"
_OUTPUT = "log_minutes"
_OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 5)]
_IR_VERSION = 10


class BranchMode(IntEnum):
    """Comparison of a split, numbered as in the `nodes_modes` attribute of `TreeEnsemble`."""

    LESS_OR_EQUAL = 0
    LESS = 1


@dataclass(frozen=True)
class Split:
    """An inner node of a tree.

    Attributes:
        feature: Index of the feature's column.
        threshold: Value that the feature is compared with, exact in float32.
        true_branch: Subtree of rows for which the comparison holds.
        false_branch: Subtree of the other rows.
        missing_is_true: Whether rows with NaN follow `true_branch`.
    """

    feature: int
    threshold: float
    true_branch: Tree
    false_branch: Tree
    missing_is_true: bool = False


Tree: TypeAlias = Split | float
"""A tree: a split, or the value of a leaf."""


def from_booster(booster: xgboost.Booster) -> onnx.ModelProto:
    """Return an XGBoost booster (squared error, numeric splits) as ONNX.

    XGBoost adds the leaves to the base score in float32, tree by tree. The base score is exported as a first tree of a
    single leaf, so ONNX Runtime adds the same numbers in the same order.

    Raises:
        ValueError: The booster has another objective, another kind of trees or categorical splits.
    """
    learner = json.loads(booster.save_raw("json"))["learner"]
    kind = (learner["objective"]["name"], learner["gradient_booster"]["name"])
    if kind != ("reg:squarederror", "gbtree"):
        raise ValueError(f"cannot export objective {kind[0]} with booster {kind[1]}")
    base_score = float(np.ravel(json.loads(learner["learner_model_param"]["base_score"]))[0])
    trees = [_booster_tree(tree) for tree in learner["gradient_booster"]["model"]["trees"]]
    return ensemble_model([base_score, *trees], BranchMode.LESS)


def _booster_tree(tree: Mapping[str, Any]) -> Tree:
    """Return a tree of XGBoost's JSON format, in which leaves have the left child -1 and a value as condition."""
    if any(tree["split_type"]):
        raise ValueError("cannot export categorical splits")
    left, right, condition = tree["left_children"], tree["right_children"], tree["split_conditions"]

    def subtree(node: int) -> Tree:
        if left[node] == -1:
            return float(condition[node])
        return Split(
            feature=tree["split_indices"][node],
            threshold=condition[node],
            true_branch=subtree(left[node]),
            false_branch=subtree(right[node]),
            missing_is_true=bool(tree["default_left"][node]),
        )

    return subtree(0)


_TREE = re.compile(r"Tree (\d+) \(weight ([-\d.E]+)\):")
_IF = re.compile(r"If \(feature (\d+) <= ([-\d.E]+)\)")
_PREDICT = re.compile(r"Predict: ([-\d.E]+)")


def from_spark_gbt(model: GBTRegressionModel) -> onnx.ModelProto:
    """Return a fitted MLlib model as ONNX, read from `toDebugString`, which prints every tree.

    Spark compares in float64 and ONNX in float32. Thresholds are rounded down to float32, so that both comparisons
    agree for every float32 feature.

    Raises:
        ValueError: The text has another structure, for example categorical splits.
    """
    lines = (line.strip() for line in model.toDebugString.splitlines()[1:])
    return ensemble_model(
        [_debug_subtree(lines, weight=float(header[2])) for line in lines if (header := _TREE.fullmatch(line))],
        BranchMode.LESS_OR_EQUAL,
    )


def _debug_subtree(lines: Iterator[str], *, weight: float) -> Tree:
    """Read one subtree from the lines of `toDebugString`; leaves are multiplied by the tree's weight."""
    line = next(lines)
    if leaf := _PREDICT.fullmatch(line):
        return weight * float(leaf[1])
    split = _IF.fullmatch(line)
    if split is None:
        raise ValueError(f"cannot export this split: {line!r}")
    true_branch = _debug_subtree(lines, weight=weight)
    if not next(lines).startswith("Else"):
        raise ValueError(f"no Else branch of: {line!r}")
    false_branch = _debug_subtree(lines, weight=weight)
    return Split(int(split[1]), _float32_at_most(float(split[2])), true_branch, false_branch)


def _float32_at_most(threshold: float) -> float:
    """Return the largest float32 that is not above the threshold."""
    rounded = np.float32(threshold)
    return float(rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(-np.inf)))


def constant_forest(value: float) -> onnx.ModelProto:
    """Return an ensemble of a single leaf, for tests and examples that need no training."""
    return ensemble_model([float(np.float32(value))], BranchMode.LESS)


def ensemble_model(trees: Sequence[Tree], mode: BranchMode) -> onnx.ModelProto:
    """Return a graph whose only node is the sum of trees, in float32 and in the given order."""
    nodes = _Nodes()
    # The format requires a split as root; both branches of a single leaf's root are that leaf.
    roots = [nodes.add(tree if isinstance(tree, Split) else Split(0, 0.0, tree, tree))[0] for tree in trees]
    size, leaves = len(nodes.features), len(nodes.leaves)
    node = helper.make_node(
        "TreeEnsemble",
        [INPUT],
        [_OUTPUT],
        domain="ai.onnx.ml",
        n_targets=1,
        tree_roots=roots,
        nodes_featureids=nodes.features,
        nodes_splits=helper.make_tensor("nodes_splits", TensorProto.FLOAT, [size], nodes.thresholds),
        nodes_modes=helper.make_tensor("nodes_modes", TensorProto.UINT8, [size], [mode] * size),
        nodes_truenodeids=[index for index, _ in nodes.true_branches],
        nodes_trueleafs=[int(is_leaf) for _, is_leaf in nodes.true_branches],
        nodes_falsenodeids=[index for index, _ in nodes.false_branches],
        nodes_falseleafs=[int(is_leaf) for _, is_leaf in nodes.false_branches],
        nodes_missing_value_tracks_true=nodes.missing_is_true,
        leaf_targetids=[0] * leaves,
        leaf_weights=helper.make_tensor("leaf_weights", TensorProto.FLOAT, [leaves], nodes.leaves),
    )
    return _model([node], [_OUTPUT])


class _Nodes:
    """Splits and leaves of all trees in the parallel lists of the format.

    A branch is the index of its target, and whether that is a leaf.
    """

    def __init__(self) -> None:
        self.features: list[int] = []
        self.thresholds: list[float] = []
        self.missing_is_true: list[int] = []
        self.true_branches: list[tuple[int, bool]] = []
        self.false_branches: list[tuple[int, bool]] = []
        self.leaves: list[float] = []

    def add(self, tree: Tree) -> tuple[int, bool]:
        """Add a subtree and return the branch to its root."""
        if not isinstance(tree, Split):
            self.leaves.append(tree)
            return len(self.leaves) - 1, True
        place = len(self.features)
        self.features.append(tree.feature)
        self.thresholds.append(tree.threshold)
        self.missing_is_true.append(int(tree.missing_is_true))
        self.true_branches.append((-1, False))  # replaced below: the subtree's indices follow this one
        self.false_branches.append((-1, False))
        self.true_branches[place] = self.add(tree.true_branch)
        self.false_branches[place] = self.add(tree.false_branch)
        return place, False


def merge_graphs(ensembles: Mapping[Variant, onnx.ModelProto]) -> onnx.ModelProto:
    """Return one graph with the ensembles of both variants, each with its own output.

    Raises:
        ValueError: A graph is not a single tree ensemble.
    """
    outputs = [variant.onnx_output for variant in Variant]
    model = _model([_renamed_ensemble(ensembles[variant], variant.onnx_output) for variant in Variant], outputs)
    onnx.checker.check_model(model)
    return model


def _renamed_ensemble(model: onnx.ModelProto, output: str) -> onnx.NodeProto:
    """Return the ensemble of a graph with another output name."""
    operators = [node.op_type for node in model.graph.node]
    if operators != ["TreeEnsemble"]:
        raise ValueError(f"expected one tree ensemble, found {operators}")
    node = onnx.NodeProto()
    node.CopyFrom(model.graph.node[0])
    node.output[:] = [output]
    node.name = output
    return node


def _model(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "eta",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in outputs],
    )
    return helper.make_model(graph, opset_imports=_OPSETS, producer_name="logitrack", ir_version=_IR_VERSION)
