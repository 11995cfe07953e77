"""Process memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator


def trim_heap() -> None:
    """Return freed heap memory to the operating system.

    glibc keeps about 100 MB after a model reload otherwise. Other C libraries have no `malloc_trim`; there this only
    collects garbage.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Exclude the present objects from garbage collection until the block ends.

    The modules and the model stay for the life of a process. A full collection, which a large batch triggers, would
    traverse them for 100 ms while no request is served.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
