"""Model versions on disk, and the pointer to the one that is served.

    models/<version>/        a version, staged beside its place and renamed into it; never changed afterwards
    models/champion.json     who is served, since when, by whom and why; replaced by one rename
    models/history.jsonl     every champion there was, oldest first
    models/<version>.rejected.json   why a candidate did not become champion

Changes of the pointer take a file lock, so two promoters at once end as one after the other. Imports light.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from logitrack_assets.eta.artifact.predictor import (
    CARD,
    MANIFEST,
    ArtifactError,
    Manifest,
    Predictor,
    read_manifest,
    sha256,
)

_VERSION = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")


class Champion(BaseModel):
    """Which version is served, and how it came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    promoted_at: datetime
    by: str
    reason: str
    previous: str | None
    manifest_sha256: str


class Rejection(BaseModel):
    """Why a candidate was not let through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    rejected_at: datetime
    reason: str


class VersionSummary(NamedTuple):
    """A version as a list shows it; the manifest is None where it cannot be read."""

    version: str
    manifest: Manifest | None
    status: str
    """'champion', 'former champion', 'rejected', 'candidate' or 'unreadable'."""
    reason: str


class ModelRegistry:
    """The folder of model versions. Cheap to make; nothing is read before it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def champion_file(self) -> Path:
        """The pointer; a reader that watches it sees a new inode at each promotion."""
        return self.folder / "champion.json"

    def versions(self) -> list[str]:
        """All published versions, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _VERSION.fullmatch(path.name))

    def path(self, version: str) -> Path:
        """The folder of a version.

        Raises:
            ArtifactError: there is no such version.
        """
        path = self.folder / version
        if not _VERSION.fullmatch(version) or not path.is_dir():
            raise ArtifactError(f"There is no model {version!r} in {self.folder}.")
        return path

    def load(self, version: str, *, threads: int = 1) -> Predictor:
        """The version, checked and ready to answer. Raises ArtifactError."""
        return Predictor.load(self.path(version), threads=threads)

    def manifest(self, version: str) -> Manifest:
        """What a version says of itself. Raises ArtifactError."""
        return read_manifest(self.path(version))

    def card(self, version: str) -> str:
        """The model card, Markdown. Raises ArtifactError."""
        try:
            return (self.path(version) / CARD).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ArtifactError(f"Model {version} has no card.") from None

    def new_version(self, digest: str, *, at: datetime) -> str:
        """A name that sorts by time and tells content apart: `20190801T120000-ab12cd`."""
        return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}-{digest[:6]}"

    @contextmanager
    def staged(self, version: str) -> Iterator[Path]:
        """A folder to fill; when the block ends well it becomes the version by one rename, else it is gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        staging = self.folder / f".{version}.{secrets.token_hex(4)}"
        staging.mkdir()
        try:
            yield staging
            for path in staging.iterdir():
                _sync(path)
            _sync(staging)
            staging.rename(self.folder / version)
            _sync(self.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def champion(self) -> Champion | None:
        """Who is served; None before the first promotion.

        Raises:
            ArtifactError: the pointer is unreadable.
        """
        try:
            text = self.champion_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            return Champion.model_validate_json(text)
        except ValidationError:
            raise ArtifactError(
                f"The champion pointer {self.champion_file} is unreadable: "
                "`logitrack model promote VERSION --reason …` writes it anew."
            ) from None

    def promote(self, version: str, *, by: str, reason: str) -> Champion:
        """Makes a version the champion, after it was loaded and answered; writes the pointer in one rename.

        Raises:
            ArtifactError: the version is missing or not sound; the old champion stays.
            ValueError: no reason was given.
        """
        with self._locked():
            return self._point_to(version, by=by, reason=reason)

    def rollback(self, *, by: str, reason: str) -> Champion:
        """Makes the champion before this one the champion again; rolling back twice goes back two.

        Raises:
            ArtifactError: there is none before, or it is not sound.
        """
        with self._locked():
            history = self.history()
            back = _previous(history)
            if back is None:
                raise ArtifactError("There is no earlier champion to go back to.")
            return self._point_to(back, by=by, reason=f"{ROLLBACK}{reason}")

    def history(self) -> list[Champion]:
        """Every champion there was, oldest first, the present one last."""
        champions = []
        try:
            lines = (self.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            lines = []
        for line in lines:
            try:
                champions.append(Champion.model_validate_json(line))
            except ValidationError:
                continue  # the torn last line of a writer that was killed; the pointer itself is whole
        current = self._readable_champion()
        if current is not None and (not champions or champions[-1] != current):
            champions.append(current)
        return champions

    def reject(self, version: str, reason: str) -> Rejection:
        """Keeps a candidate visible with the reason why it did not pass. Raises ArtifactError."""
        self.path(version)
        rejection = Rejection(version=version, rejected_at=_now(), reason=reason)
        _replace(self.folder / f"{version}.rejected.json", rejection.model_dump_json(indent=2))
        return rejection

    def record_rejection(self, version: str, reason: str) -> None:
        """Adds a reason to why a candidate did not pass; a version that is or was champion is left alone."""
        if version in {entry.version for entry in self.history()}:
            return
        known = self.rejection(version)
        reasons = known.reason.split("\n") if known else []
        if reason not in reasons:
            self.reject(version, "\n".join([*reasons, reason]))

    def rejection(self, version: str) -> Rejection | None:
        """Why a version was rejected, or None."""
        try:
            text = (self.folder / f"{version}.rejected.json").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Rejection.model_validate_json(text)

    def listed(self) -> list[VersionSummary]:
        """All versions with their state, newest first; none is champion while the pointer is unreadable."""
        champion = self._readable_champion()
        reasons = {entry.version: entry.reason for entry in self.history()}
        rows = []
        for version in reversed(self.versions()):
            rejection = self.rejection(version)
            try:
                manifest = self.manifest(version)
            except ArtifactError as error:
                rows.append(VersionSummary(version, None, "unreadable", str(error)))
                continue
            if champion is not None and version == champion.version:
                rows.append(VersionSummary(version, manifest, "champion", champion.reason))
            elif version in reasons:
                rows.append(VersionSummary(version, manifest, "former champion", reasons[version]))
            elif rejection is not None:
                rows.append(VersionSummary(version, manifest, "rejected", rejection.reason))
            else:
                rows.append(VersionSummary(version, manifest, "candidate", ""))
        return rows

    def _readable_champion(self) -> Champion | None:
        """None for a pointer that somebody wrote into, too: promoting mends it, and must not stumble over it."""
        try:
            return self.champion()
        except ArtifactError:
            return None

    def _point_to(self, version: str, *, by: str, reason: str) -> Champion:
        if not reason.strip():
            raise ValueError("a promotion needs a reason")
        artifact = self.load(version)
        history = self.history()
        champion = Champion(
            version=artifact.version,
            promoted_at=_now(),
            by=by,
            reason=reason.strip(),
            previous=history[-1].version if history else None,
            manifest_sha256=sha256(self.path(version) / MANIFEST),
        )
        # The history is rewritten whole, so that it never holds a torn line or misses a champion that
        # was pointed to by a writer killed between the two files.
        lines = "".join(entry.model_dump_json() + "\n" for entry in [*history, champion])
        _replace(self.champion_file, champion.model_dump_json(indent=2) + "\n")
        _replace(self.folder / "history.jsonl", lines)
        return champion

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


ROLLBACK = "rollback: "


def _previous(history: list[Champion]) -> str | None:
    """The version before the present one, as if versions that were rolled back from had never been."""
    line: list[str] = []
    for entry in history:
        if entry.reason.startswith(ROLLBACK) and len(line) > 1 and line[-2] == entry.version:
            line.pop()
        elif not line or line[-1] != entry.version:
            line.append(entry.version)
    return line[-2] if len(line) > 1 else None


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _replace(path: Path, text: str) -> None:
    """Writes a file so that a reader sees the old text or the new one, whatever is killed when."""
    staging = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    staging.write_text(text, encoding="utf-8")
    _sync(staging)
    staging.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Writes `manifest.json` with the digest of every other file of the folder; returns what it wrote."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    complete = manifest.model_copy(update={"files": files})
    document = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(document + "\n", encoding="utf-8")
    return complete
