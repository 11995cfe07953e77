"""Alert rules and dashboard use metrics that exist, and promtool accepts and tests the rules."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from logitrack_service.observability import metrics
from logitrack_tests.conftest import REPOSITORY

PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
RULES = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
DASHBOARD = json.loads((REPOSITORY / "deploy" / "grafana" / "logitrack.json").read_text())
OPERATIONS = (REPOSITORY / "docs" / "operations.md").read_text()


def existing_series() -> set[str]:
    """Return the names of the series that the service exposes."""
    suffixes = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    return {f"{metric._name}{suffix}" for metric in found for suffix in suffixes[type(metric)]}


def used_series(expression: str) -> set[str]:
    return set(re.findall(r"\blogitrack_\w+", expression))


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def test_rules_and_dashboard_use_existing_metrics() -> None:
    expressions = [alert["expr"] for alert in alerts()]
    expressions += [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    assert len(expressions) > 25
    unknown = {name for expression in expressions for name in used_series(expression)} - existing_series()
    assert unknown == set()


def test_every_metric_is_on_the_dashboard_or_alerted_on() -> None:
    shown = json.dumps(DASHBOARD) + json.dumps(RULES)
    forgotten = {name for name in existing_series() if name.removesuffix("_count").removesuffix("_sum") not in shown}
    assert {name for name in forgotten if not name.endswith(("_bucket", "_sum", "_count"))} == {
        "logitrack_live_correction_excluded_accounts"
    }


def test_every_alert_says_what_to_do() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names)
    for alert in alerts():
        assert alert["labels"]["severity"] in ("warning", "critical"), alert["alert"]
        assert set(alert["annotations"]) == {"summary", "action"}, alert["alert"]


def test_panels_have_ids_titles_and_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells, panel["title"]
        cells |= own
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] for panel in DASHBOARD["panels"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian's package prometheus) is not installed")
@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_accepts_the_rules(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
