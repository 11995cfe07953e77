"""Memory of a worker, kept small where the C library is glibc; others have no such call, and no need of it."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def trim_heap() -> None:
    """Returns to the system what loading a model used and the old one held: some 100 MB that would be kept."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
