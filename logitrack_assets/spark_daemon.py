"""Parent of Spark's Python workers: imports once what each of them needs, then forks them.

Without it every worker process imports XGBoost and pyarrow by itself, 1.5 s of a core.
"""

from __future__ import annotations

import pyarrow.dataset  # noqa: F401  # for the workers
import xgboost.spark  # noqa: F401  # for the workers
from pyspark.daemon import manager

if __name__ == "__main__":
    manager()
