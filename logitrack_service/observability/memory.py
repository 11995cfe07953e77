"""Process memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc


def trim_heap() -> None:
    """Return freed heap memory to the operating system.

    glibc keeps about 100 MB after a model reload otherwise. Other C libraries have no `malloc_trim`; there this only
    collects garbage.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
