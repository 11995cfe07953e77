"""The lake: trips in folders of Parquet files, published atomically."""

from logitrack_assets.lake.layout import RECEIPT, Lake, VersionMismatchError
from logitrack_assets.lake.publication import MANIFEST

__all__ = ["MANIFEST", "RECEIPT", "Lake", "VersionMismatchError"]
