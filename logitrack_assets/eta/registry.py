"""The model registry: versions on disk, and the pointer to the champion.

    models/<version>/        a version, staged beside its place and renamed into it; immutable afterwards
    models/champion.json     the champion: version, time, user, reason; replaced by one rename
    models/history.jsonl     every champion, oldest first
    models/<version>.rejected.json   why a candidate was rejected

Changes of the pointer hold a file lock, so concurrent promotions are serialised. Imports light.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from logitrack_assets.eta.artifact import CARD, MANIFEST, ArtifactError, Manifest, Predictor, read_manifest, sha256
from logitrack_assets.files import FileLock, exclusive_lock, fsync_path, fsync_tree, write_atomic

VersionStatus = Literal["champion", "former champion", "rejected", "candidate", "unreadable"]

_VERSION = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
_STAGING_PATTERN = ".[0-9]*T[0-9]*-*.*"
_ROLLBACK_LABEL = "rollback: "


class Champion(BaseModel):
    """An entry of the history: a version that became champion.

    Attributes:
        version: Name of the version.
        promoted_at: When it became champion, UTC.
        by: Who promoted it or rolled back to it.
        reason: The stated reason.
        previous: The champion before it; None for the first.
        manifest_sha256: Digest of its manifest at that time.
        kind: Whether it was promoted, or restored by a rollback.
        signature: Code of the other fields by a `ChampionSigner`; None where the registry has no key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    promoted_at: datetime
    by: str
    reason: str
    previous: str | None
    manifest_sha256: str
    kind: Literal["promotion", "rollback"] = "promotion"
    signature: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_labelled_reason(cls, entry: Any) -> Any:
        """Read the kind of entries written before the field existed from the label of their reason."""
        if not isinstance(entry, dict) or "kind" in entry:
            return entry
        reason = entry.get("reason")
        if isinstance(reason, str) and reason.startswith(_ROLLBACK_LABEL):
            return {**entry, "kind": "rollback", "reason": reason.removeprefix(_ROLLBACK_LABEL)}
        return entry

    @property
    def labelled_reason(self) -> str:
        """The reason for people: that of a rollback begins with `rollback: `."""
        return f"{_ROLLBACK_LABEL}{self.reason}" if self.kind == "rollback" else self.reason


class ChampionSigner:
    """Signs and verifies champions with the key of an installation."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        """Take the source of the key, which is read at first use."""
        self._key = cache(key)

    def signed(self, champion: Champion) -> Champion:
        """Return the champion with its signature."""
        return champion.model_copy(update={"signature": self._code(champion)})

    def is_authentic(self, champion: Champion) -> bool:
        """Return whether the champion carries the signature of its other fields."""
        return champion.signature is not None and hmac.compare_digest(champion.signature, self._code(champion))

    def _code(self, champion: Champion) -> str:
        fields = json.dumps(champion.model_dump(mode="json", exclude={"signature"}), sort_keys=True)
        return hmac.new(self._key(), f"logitrack:champion:{fields}".encode(), hashlib.sha256).hexdigest()


class Rejection(BaseModel):
    """Why a candidate was rejected; one line of `reason` per failed gate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    rejected_at: datetime
    reason: str


class VersionSummary(NamedTuple):
    """A row of the list of versions; the manifest is None when it cannot be read."""

    version: str
    manifest: Manifest | None
    status: VersionStatus
    reason: str


class ModelRegistry:
    """The folder of model versions. Construction reads nothing.

    With a signer, champions that are not signed by it are refused and are not part of the history.
    """

    def __init__(self, folder: Path, signer: ChampionSigner | None = None) -> None:
        self.folder = folder
        self._signer = signer

    @property
    def signs_champions(self) -> bool:
        """Whether champions are signed and verified."""
        return self._signer is not None

    @property
    def champion_file(self) -> Path:
        """The pointer to the champion; every promotion gives it a new inode."""
        return self.folder / "champion.json"

    @property
    def _history_file(self) -> Path:
        return self.folder / "history.jsonl"

    def versions(self) -> list[str]:
        """Return all published versions, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if _VERSION.fullmatch(path.name))

    def path(self, version: str) -> Path:
        """Return the folder of a version.

        Raises:
            ArtifactError: There is no such version.
        """
        path = self.folder / version
        if not _VERSION.fullmatch(version) or not path.is_dir():
            raise ArtifactError(
                f"There is no model {version!r} in {self.folder}.", hint="`logitrack model list` shows the versions."
            )
        return path

    def load(self, version: str, *, threads: int = 1) -> Predictor:
        """Return the verified predictor of a version.

        Raises:
            ArtifactError: There is no such version, or it is not valid.
        """
        return Predictor.load(self.path(version), threads=threads)

    def manifest(self, version: str) -> Manifest:
        """Return the manifest of a version.

        Raises:
            ArtifactError: There is no such version, or its manifest is not valid.
        """
        return read_manifest(self.path(version))

    def card(self, version: str) -> str:
        """Return the model card of a version, Markdown.

        Raises:
            ArtifactError: There is no such version, or it has no card.
        """
        try:
            return (self.path(version) / CARD).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise ArtifactError(f"Model {version} has no card.") from None

    def new_version(self, digest: str, *, at: datetime) -> str:
        """Return a version name that sorts by time and contains the digest's start: `20190801T120000-ab12cd`."""
        return f"{at.astimezone(UTC):%Y%m%dT%H%M%S}-{digest[:6]}"

    @contextmanager
    def staged(self, version: str) -> Iterator[Path]:
        """Yield an empty folder that becomes the version by one rename, or is deleted when the block raises."""
        lock = FileLock(self.folder / ".staging.lock")
        if lock.acquire(wait=False):  # no other process is staging: what is found was left by a killed one
            for left in self.folder.glob(_STAGING_PATTERN):
                shutil.rmtree(left, ignore_errors=True)
        lock.acquire(shared=True)
        staging = self.folder / f".{version}.{secrets.token_hex(4)}"
        try:
            staging.mkdir()
            yield staging
            fsync_tree(staging)
            staging.rename(self.folder / version)
            fsync_path(self.folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            lock.release()

    def champion(self) -> Champion | None:
        """Return the champion; None before the first promotion.

        Raises:
            ArtifactError: The pointer is unreadable, or not signed with the key of this installation.
        """
        champion = self._read_champion()
        if champion is not None and not self._is_trusted(champion):
            raise ArtifactError(
                f"The champion pointer {self.champion_file} is not signed with the registry key of this installation: "
                "`logitrack model promote VERSION --reason …` signs a version that you trust."
            )
        return champion

    def _is_trusted(self, champion: Champion) -> bool:
        return self._signer is None or self._signer.is_authentic(champion)

    def _read_champion(self) -> Champion | None:
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
        """Make a version the champion, after loading and verifying it.

        Raises:
            ArtifactError: The version is missing or not valid; the champion does not change.
            ValueError: The reason is empty.
        """
        with self._lock():
            return self._write_champion(version, by=by, reason=reason, kind="promotion")

    def rollback(self, *, by: str, reason: str) -> Champion:
        """Restore the champion before the present one; a second rollback goes back one further.

        Raises:
            ArtifactError: There is no earlier champion, or it is not valid.
            ValueError: The reason is empty.
        """
        with self._lock():
            history = self.history()
            version = _version_before(history)
            if version is None:
                raise ArtifactError("There is no earlier champion to go back to.")
            promoted = next(entry for entry in reversed(history) if entry.version == version)
            if sha256(self.path(version) / MANIFEST) != promoted.manifest_sha256:
                raise ArtifactError(f"The {MANIFEST} of model {version} was altered since it was champion.")
            return self._write_champion(version, by=by, reason=reason, kind="rollback")

    def history(self) -> list[Champion]:
        """Return every champion, oldest first, the present one last."""
        champions = [entry for entry in self._entries() if self._is_trusted(entry)]
        current = self._readable_champion()
        if current is not None and (not champions or champions[-1] != current):
            champions.append(current)
        return champions

    def sign_entries(self) -> None:
        """Sign the pointer and the history of a registry that had no key so far; signed entries stay as they are."""
        with self._lock():
            entries = [self._signed(entry) for entry in self._entries()]
            champion = self._read_champion()
            if champion is not None:
                write_atomic(self.champion_file, self._signed(champion).model_dump_json(indent=2) + "\n")
            if entries:
                self._write_entries(entries)

    def _signed(self, champion: Champion) -> Champion:
        if self._signer is None or champion.signature is not None:
            return champion
        return self._signer.signed(champion)

    def _entries(self) -> list[Champion]:
        """Return the entries of the history file, trusted or not."""
        entries = []
        for line in self._history_lines():
            try:
                entries.append(Champion.model_validate_json(line))
            except ValidationError:
                continue  # a line torn by a killed writer of an earlier release; the pointer itself is whole
        return entries

    def _write_entries(self, entries: Iterable[Champion]) -> None:
        write_atomic(self._history_file, "".join(entry.model_dump_json() + "\n" for entry in entries))

    def _history_lines(self) -> list[str]:
        try:
            return self._history_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []

    def reject(self, version: str, reason: str) -> Rejection:
        """Record a candidate as rejected, in place of an earlier reason.

        Raises:
            ArtifactError: There is no such version.
        """
        self.path(version)
        rejection = Rejection(version=version, rejected_at=_now(), reason=reason)
        write_atomic(self._rejection_file(version), rejection.model_dump_json(indent=2))
        return rejection

    def record_rejection(self, version: str, reason: str) -> None:
        """Add a reason to a candidate's rejection; a present or former champion is not rejected.

        Raises:
            ArtifactError: There is no such version.
        """
        if version in {entry.version for entry in self.history()}:
            return
        known = self.rejection(version)
        reasons = known.reason.split("\n") if known else []
        if reason not in reasons:
            self.reject(version, "\n".join([*reasons, reason]))

    def rejection(self, version: str) -> Rejection | None:
        """Return the rejection of a version, or None."""
        try:
            text = self._rejection_file(version).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        return Rejection.model_validate_json(text)

    def _rejection_file(self, version: str) -> Path:
        return self.folder / f"{version}.rejected.json"

    def listed(self) -> list[VersionSummary]:
        """Return all versions with their status, newest first; none is champion while the pointer is unreadable."""
        champion = self._readable_champion()
        former = {entry.version: entry for entry in self.history()}
        return [self._summary(version, champion, former) for version in reversed(self.versions())]

    def _summary(self, version: str, champion: Champion | None, former: dict[str, Champion]) -> VersionSummary:
        try:
            manifest = self.manifest(version)
        except ArtifactError as error:
            return VersionSummary(version, None, "unreadable", str(error))
        if champion is not None and version == champion.version:
            return VersionSummary(version, manifest, "champion", champion.labelled_reason)
        if version in former:
            return VersionSummary(version, manifest, "former champion", former[version].labelled_reason)
        rejection = self.rejection(version)
        if rejection is not None:
            return VersionSummary(version, manifest, "rejected", rejection.reason)
        return VersionSummary(version, manifest, "candidate", "")

    def _readable_champion(self) -> Champion | None:
        """Return the champion, or None for an unreadable pointer as well, which a promotion must be able to replace."""
        try:
            return self.champion()
        except ArtifactError:
            return None

    def _write_champion(
        self, version: str, *, by: str, reason: str, kind: Literal["promotion", "rollback"]
    ) -> Champion:
        if not reason.strip():
            raise ValueError("a promotion needs a reason")
        predictor = self.load(version)
        history = self.history()
        unsigned = Champion(
            version=predictor.version,
            promoted_at=_now(),
            by=by,
            reason=reason.strip(),
            previous=history[-1].version if history else None,
            manifest_sha256=sha256(self.path(version) / MANIFEST),
            kind=kind,
        )
        champion = self._signed(unsigned)
        # The whole history is rewritten: it has no torn line and includes a champion whose writer was killed between
        # the two files. Entries that are not trusted stay in the file.
        entries = self._entries()
        if history and history[-1] not in entries:
            entries.append(history[-1])
        write_atomic(self.champion_file, champion.model_dump_json(indent=2) + "\n")
        self._write_entries([*entries, champion])
        return champion

    def _lock(self) -> AbstractContextManager[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        return exclusive_lock(self.folder / ".lock")


def _version_before(history: list[Champion]) -> str | None:
    """Return the champion before the present one, ignoring versions that were rolled back from."""
    stack: list[str] = []
    for entry in history:
        if entry.kind == "rollback" and len(stack) > 1 and stack[-2] == entry.version:
            stack.pop()
        elif not stack or stack[-1] != entry.version:
            stack.append(entry.version)
    return stack[-2] if len(stack) > 1 else None


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
