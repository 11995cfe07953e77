"""Folders and documents of the lake.

    bronze/<fleet>/<month>/<file as published>.parquet, receipt.json
    silver/month=<month>/*.parquet, _month.json, _checks.json
    rejected/month=<month>/*.parquet, _month.json

Months are `YYYY-MM`.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from logitrack_assets.errors import LogitrackError
from logitrack_assets.files import read_json, write_json
from logitrack_assets.lake.publication import (
    MANIFEST,
    STAGING,
    clear_staging,
    lock_work,
    publish_folder,
    publish_folders,
    recover_publications,
)

RECEIPT = "receipt.json"
CHECK_RESULTS = "_checks.json"  # in the silver folder, so that a new version of the month begins without results


class VersionMismatchError(LogitrackError):
    """The lake holds another version of a month than the one that was to be read."""


@dataclass(frozen=True)
class Lake:
    """The lake below a home folder; folders are created by the first publication."""

    home: Path

    @property
    def root(self) -> Path:
        """The folder of all tables."""
        return self.home / "lake"

    def bronze(self, fleet: str, month: str) -> Path:
        """Return the folder of a fleet's file of a month, as the source published it, with its receipt."""
        return self.root / "bronze" / fleet / month

    def silver(self, month: str) -> Path:
        """Return the folder of the month's valid trips, all fleets."""
        return self.root / "silver" / f"month={month}"

    def rejected(self, month: str) -> Path:
        """Return the folder of the month's rejected rows, all fleets."""
        return self.root / "rejected" / f"month={month}"

    def staging(self, name: str) -> Path:
        """Return the folder in which the work called `name` stages its output; an interrupted run may have left it."""
        return self.root / STAGING / name

    def silver_months(self) -> list[str]:
        """Return the months that have a silver folder, sorted."""
        return sorted(folder.name.removeprefix("month=") for folder in (self.root / "silver").glob("month=*"))

    def bronze_fleets(self, month: str) -> list[str]:
        """Return the fleets whose file of the month is in the lake, sorted."""
        return sorted(receipt.parent.parent.name for receipt in (self.root / "bronze").glob(f"*/{month}/{RECEIPT}"))

    def receipt(self, fleet: str, month: str) -> dict[str, Any] | None:
        """Return the receipt of a bronze file, or None when the file is not in the lake."""
        return read_json(self.bronze(fleet, month) / RECEIPT)

    def manifest(self, month: str) -> dict[str, Any] | None:
        """Return the manifest document of a silver month, or None when there is none.

        `trips.manifest.load_manifest` returns it as a typed object.
        """
        return read_json(self.silver(month) / MANIFEST)

    def silver_version(self, month: str) -> str | None:
        """Return the identifier of the published silver version, new with each cleaning; None when there is none."""
        manifest = self.manifest(month)
        return None if manifest is None else str(manifest["version"])

    def check_results(self, month: str) -> dict[str, list[str]] | None:
        """Return the problems that each check found in the published silver version, by name of the check.

        A check without problems has an empty list; a check that has not run on this version is missing. None when
        there are no results for this version.
        """
        document = read_json(self.silver(month) / CHECK_RESULTS)
        if document is None or document["version"] != self.silver_version(month):
            return None
        return {name: list(problems) for name, problems in document["problems"].items()}

    def record_check_results(self, month: str, version: str, problems: Mapping[str, list[str]]) -> None:
        """Record what checks found in a silver version; results of other checks of that version are kept.

        Args:
            month: `YYYY-MM`.
            version: The version that was checked. Nothing is recorded when the lake holds another one.
            problems: Problems by name of the check; empty lists for checks that passed.
        """
        with self.lock(f"checks-{month}"):
            if self.silver_version(month) == version:
                merged = (self.check_results(month) or {}) | dict(problems)
                write_json(self.silver(month) / CHECK_RESULTS, {"version": version, "problems": merged})

    @contextmanager
    def pinned(self, month: str, version: str) -> Iterator[None]:
        """Require that a month's silver and rejected rows keep one version while a block reads them.

        Args:
            month: `YYYY-MM`.
            version: What `silver_version` returned when the month was materialised.

        Raises:
            VersionMismatchError: The lake holds another version before, during or after the block. An error that the
                block raises because its files were replaced is its cause.
        """
        self._require_version(month, version)
        try:
            yield
        except Exception as error:
            self._require_version(month, version, cause=error)
            raise
        self._require_version(month, version)

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Exclude other processes from the work called `name` for a block; a killed holder releases it."""
        return lock_work(self.root, name)

    def publish(self, staged: Path, final: Path) -> None:
        """Replace the folder `final` by `staged`; see `publication.publish_folder`."""
        publish_folder(staged, final)

    def publish_together(self, staged: Path, parts: Mapping[str, Path], version: str) -> None:
        """Publish subfolders of `staged` as one version; see `publication.publish_folders`."""
        publish_folders(self.root, staged, parts, version)

    def clear_staging(self, name: str) -> Path:
        """Return the staging folder of the work called `name` after its removal; see `publication.clear_staging`."""
        staged = self.staging(name)
        clear_staging(self.root, staged)
        return staged

    def recover(self) -> list[str]:
        """Finish interrupted publications and return their names; see `publication.recover_publications`."""
        return recover_publications(self.root)

    def _require_version(self, month: str, version: str, cause: Exception | None = None) -> None:
        current = self.silver_version(month)
        if current != version:
            raise VersionMismatchError(
                f"{month} has silver version {current} in the lake, not {version}.", hint="Run this again."
            ) from cause
