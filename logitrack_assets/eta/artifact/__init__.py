"""The published model: a folder of inert files, and the predictor that reads it.

    model.onnx      trees of both variants, one graph with an output for each
    tables.npz      lookup tables of the features, and the number of training trips by zone pair
    intervals.json  quantiles of the residual by group, from months after the training rows
    manifest.json   format, features, months with their bronze digests, metrics, libraries, and the digest of every
                    other file
    reference.json  distributions of the training trips, the reference of drift measures
    held_out.npz    a sample of the newest month with the predictions that gates compare
    card.md         the model card for people

No file holds code or pickles. Imports light: numpy, onnxruntime and pydantic. Import names from this package, not from
its modules.
"""

from logitrack_assets.eta.artifact.intervals import (
    DEFAULT_LEVEL,
    GROUP_SHAPE,
    HOUR_BANDS,
    LENGTH_BANDS,
    MAX_LEVEL,
    MIN_LEVEL,
    Intervals,
    hour_bands,
    interval_groups,
    length_bands,
)
from logitrack_assets.eta.artifact.manifest import (
    CARD,
    FORMAT,
    INTERVALS,
    MANIFEST,
    MODEL,
    REFERENCE,
    TABLES,
    ArtifactError,
    Manifest,
    ModelMetrics,
    RegressionMetrics,
    SliceMetrics,
    TrainingMonth,
    read_manifest,
    sha256,
    verify_digests,
    write_manifest,
)
from logitrack_assets.eta.artifact.predictor import (
    MAX_MINUTES,
    MAX_MONTHS_FROM_TRAINING,
    MIN_MINUTES,
    MIN_SUPPORT,
    Adjuster,
    Adjustment,
    PredictionBatch,
    Predictor,
    to_minutes,
)
from logitrack_assets.eta.artifact.tables import Tables

__all__ = [
    "CARD",
    "DEFAULT_LEVEL",
    "FORMAT",
    "GROUP_SHAPE",
    "HOUR_BANDS",
    "INTERVALS",
    "LENGTH_BANDS",
    "MANIFEST",
    "MAX_LEVEL",
    "MAX_MINUTES",
    "MAX_MONTHS_FROM_TRAINING",
    "MIN_LEVEL",
    "MIN_MINUTES",
    "MIN_SUPPORT",
    "MODEL",
    "REFERENCE",
    "TABLES",
    "Adjuster",
    "Adjustment",
    "ArtifactError",
    "Intervals",
    "Manifest",
    "ModelMetrics",
    "PredictionBatch",
    "Predictor",
    "RegressionMetrics",
    "SliceMetrics",
    "Tables",
    "TrainingMonth",
    "hour_bands",
    "interval_groups",
    "length_bands",
    "read_manifest",
    "sha256",
    "to_minutes",
    "verify_digests",
    "write_manifest",
]
