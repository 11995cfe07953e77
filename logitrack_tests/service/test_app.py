"""Application factory."""

from __future__ import annotations

import subprocess
import sys


def test_service_imports_no_heavy_package():
    code = (
        "import sys, logitrack_service.app;"
        "heavy = ('pyspark', 'dagster', 'pandas', 'pyarrow', 'xgboost', 'sklearn', 'onnx');"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
