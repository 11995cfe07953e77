"""How much memory a benchmark took at most, with everything that it started."""

from __future__ import annotations

import threading
import time

import psutil


class PeakMemory(threading.Thread):
    """Watches the resident memory of this process and its children, the JVM among them."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self.start()

    def run(self) -> None:
        me = psutil.Process()
        while True:
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)
            time.sleep(0.2)
