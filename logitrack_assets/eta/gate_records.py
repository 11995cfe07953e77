"""Results of a version's gates, kept beside it: `models/<version>.gates.json`.

The version itself is immutable and is published before its gates are evaluated. Imports light.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.files import exclusive_lock, write_atomic


class GateRecord(BaseModel):
    """The recorded result of a gate.

    Attributes:
        name: Name of the gate.
        rule: What the gate demands, one or two sentences.
        passed: Whether the version passed.
        reason: Why, one or two sentences.
        facts: The figures behind it, thresholds included.
        evaluated_at: UTC.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    rule: str
    passed: bool
    reason: str
    facts: dict[str, bool | int | float | str]
    evaluated_at: datetime


_GateRecords = RootModel[list[GateRecord]]


def record_gates(models: ModelRegistry, version: str, records: Iterable[GateRecord]) -> None:
    """Keep results of a version's gates, in place of earlier ones of the same gates.

    Raises:
        ArtifactError: There is no such version.
    """
    models.path(version)
    with exclusive_lock(models.folder / ".gates.lock"):
        known = {record.name: record for record in read_gates(models, version)}
        known |= {record.name: record for record in records}
        write_atomic(_file(models, version), _GateRecords(list(known.values())).model_dump_json(indent=2) + "\n")


def read_gates(models: ModelRegistry, version: str) -> list[GateRecord]:
    """Return the recorded results of a version's gates; empty if none was evaluated or the file is unreadable."""
    try:
        return _GateRecords.model_validate_json(_file(models, version).read_text(encoding="utf-8")).root
    except (FileNotFoundError, ValidationError):
        return []


def _file(models: ModelRegistry, version: str) -> Path:
    return models.folder / f"{version}.gates.json"
