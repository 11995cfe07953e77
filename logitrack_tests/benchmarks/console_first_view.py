"""Measure the first view of the web console in Chromium, with an empty cache and the processor slowed down.

    python -m logitrack_tests.benchmarks.console_first_view --url http://127.0.0.1:8000

The service has to run. The view counts as useful when the map is drawn and the form can be filled in; first contentful
paint is the browser's own figure. The processor time of the page's main thread, not slowed down, is the figure that
other load of the machine does not change.
"""

from __future__ import annotations

import argparse
import statistics

from logitrack_tests.browser import chromium, visit

USEFUL = """
new Promise(resolve => {
  const look = () => document.querySelectorAll("path[data-zone]").length === 263 && document.querySelector("#username")
    ? requestAnimationFrame(() => resolve(performance.now())) : setTimeout(look, 5);
  look();
})
"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


def main() -> None:
    """Print medians of several visits by somebody who is not signed in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--visits", type=int, default=9)
    parser.add_argument("--slowdown", type=float, default=4)
    options = parser.parse_args()
    paints, useful, received, busy = [], [], [], []
    with chromium() as browser:
        for _ in range(options.visits):
            with visit(browser, options.url, expected=("401",)) as visited:
                session = visited.page.context.new_cdp_session(visited.page)
                session.send("Performance.enable", {"timeDomain": "threadTicks"})
                session.send("Emulation.setCPUThrottlingRate", {"rate": options.slowdown})
                visited.page.goto(options.url, wait_until="commit")
                useful.append(visited.page.evaluate(USEFUL))
                visited.page.wait_for_load_state("networkidle")
                paints.append(visited.page.evaluate(FIRST_PAINT))
                metrics = {row["name"]: row["value"] for row in session.send("Performance.getMetrics")["metrics"]}
                busy.append(1000 * metrics["TaskDuration"])
                received.append(sum(answer.request.sizes()["responseBodySize"] for answer in visited.answers))
    print(f"first contentful paint {statistics.median(paints):.0f} ms, useful {statistics.median(useful):.0f} ms")
    print(f"main thread {statistics.median(busy):.0f} ms of processor time")
    print(f"received {statistics.median(received) / 1000:.1f} kB, compressed")


if __name__ == "__main__":
    main()
