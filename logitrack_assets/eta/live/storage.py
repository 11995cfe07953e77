"""A state as bytes: arrays and numbers, no code; exact to the bit."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np

from logitrack_assets.errors import LogitrackError
from logitrack_assets.eta.live.accounts import AccountWeights
from logitrack_assets.eta.live.cascade import Cascade
from logitrack_assets.eta.live.cells import CELLS, STAGES
from logitrack_assets.eta.live.regression import StageWeights
from logitrack_assets.eta.live.safety import SafetySwitch
from logitrack_assets.eta.live.state import LiveState, VariantState
from logitrack_assets.eta.live.tails import TailScales
from logitrack_assets.eta.variant import Variant

STATE_FORMAT = 1
"""Changes with the meaning of the stored numbers; states of another format are not read."""


class LiveStateError(LogitrackError):
    """Bytes that are not a state of this program's format."""


def dump_state(state: LiveState) -> bytes:
    """Return a state as a compressed NPZ file; cells without outcomes are left out."""
    arrays: dict[str, Any] = {}
    variants = {}
    for variant, part in state.variants.items():
        used = np.flatnonzero(part.cascade.counts)
        arrays |= {
            f"{variant}_cells": used.astype(np.int32),
            f"{variant}_sums": part.cascade.sums[used],
            f"{variant}_counts": part.cascade.counts[used],
            f"{variant}_landmarks": part.cascade.landmarks,
            f"{variant}_gram": part.weights.gram,
            f"{variant}_moment": part.weights.moment,
            f"{variant}_weights": part.weights.weights,
        }
        variants[variant.value] = {
            "fitted_at": part.weights.fitted_at,
            "unfitted": part.weights.unfitted,
            "safety": vars(part.safety),
            "tails": vars(part.tails),
        }
    document = {
        "format": STATE_FORMAT,
        "stages": [stage.name for stage in STAGES],
        "cells": CELLS,
        "learned": state.learned,
        "variants": variants,
        "accounts": [[account, *entry] for account, entry in state.accounts.statistics.items()],
        "account_weights": [[account, weight] for account, weight in state.accounts.weights.items()],
        "unreviewed": state.accounts.unreviewed,
    }
    arrays["document"] = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def load_state(content: bytes) -> LiveState:
    """Return the state of `dump_state`.

    Raises:
        LiveStateError: The bytes are of another format, or damaged.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            document = json.loads(arrays["document"].tobytes())
            if document["format"] != STATE_FORMAT or document["cells"] != CELLS:
                raise LiveStateError(f"The live state has format {document['format']}, not {STATE_FORMAT}.")
            variants = {variant: _load_variant(arrays, document, variant) for variant in Variant}
    except LiveStateError:
        raise
    except Exception as error:  # numpy, zipfile and json raise various types for malformed bytes
        raise LiveStateError(f"The live state cannot be read: {error}") from error
    accounts = AccountWeights(
        {int(account): (count, total, squares, at) for account, count, total, squares, at in document["accounts"]},
        {int(account): weight for account, weight in document["account_weights"]},
        document["unreviewed"],
    )
    return LiveState(variants, accounts, document["learned"])


def _load_variant(arrays: Any, document: dict[str, Any], variant: Variant) -> VariantState:
    scalars = document["variants"][variant.value]
    cascade = Cascade.empty()
    used = arrays[f"{variant}_cells"]
    cascade.sums[used], cascade.counts[used] = arrays[f"{variant}_sums"], arrays[f"{variant}_counts"]
    cascade.landmarks = arrays[f"{variant}_landmarks"]
    weights = StageWeights(
        arrays[f"{variant}_gram"],
        arrays[f"{variant}_moment"],
        arrays[f"{variant}_weights"],
        scalars["fitted_at"],
        scalars["unfitted"],
    )
    return VariantState(cascade, weights, SafetySwitch(**scalars["safety"]), TailScales(**scalars["tails"]))
