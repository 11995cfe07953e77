"""Memory of a worker, kept small where the C library is glibc; others have neither call, and no need of them."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_M_ARENA_MAX = -8  # mallopt(3)
ARENAS = 2  # by default each thread gets one, and each keeps what its largest batch needed


def share_arenas() -> None:
    """Lets all threads take memory from the same few heaps. To be called before threads start."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Returns to the system what loading a model used and the old one held: some 100 MB that would be kept."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
