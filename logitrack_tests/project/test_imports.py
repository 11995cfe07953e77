"""The service starts without Spark and Dagster, in a process of its own that shows it."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = ("pyspark", "dagster", "pandas", "pyarrow", "xgboost", "sklearn", "matplotlib")


def test_the_service_loads_nothing_heavy() -> None:
    code = (
        "import json, sys; import logitrack_service.app; "
        f"print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == []
