"""Loads into PostgreSQL are complete or without effect."""

import signal

import psutil
import pyarrow as pa
import pytest

from logitrack_assets import warehouse as warehouse_module
from logitrack_assets.database import database_url as embedded_database
from logitrack_assets.database import migrate
from logitrack_assets.settings import Settings
from logitrack_assets.warehouse import Warehouse, WarehouseError


def test_failed_load_keeps_previous_rows(database_url):
    warehouse = Warehouse(database_url)
    good = pa.table({"month": ["2019-01"], "fleet": ["yellow"], "rule": ["too_short"], "reason": ["a\tb\\\n,\"c\""],
                     "trips": [1]})  # fmt: skip
    warehouse.replace_month("2019-01", {"rejections": good})
    bad = pa.table({"month": ["2019-01"], "fleet": [None]})
    with pytest.raises(WarehouseError, match=r"Loading warehouse.trip_months of 2019-01 .*null value"):
        warehouse.replace_month("2019-01", {"rejections": good.set_column(4, "trips", [[2]]), "trip_months": bad})
    with warehouse.connect() as connection:
        assert connection.execute("select reason, trips from warehouse.rejections").fetchall() == [('a\tb\\\n,"c"', 1)]
    with pytest.raises(WarehouseError, match="does not answer"):
        Warehouse("postgresql+psycopg://nobody@127.0.0.1:9/none").replace_month("2019-01", {})


def test_load_interrupted_by_postgresql_shutdown_keeps_previous_rows(tmp_path, monkeypatch):
    settings = Settings(home=tmp_path, database_url=None)
    url = embedded_database(settings)
    migrate(url)
    rows = {"month": ["2019-01"] * 2, "fleet": ["yellow", "green"], "rule": ["too_short"] * 2, "reason": ["x"] * 2}
    Warehouse(url).replace_month("2019-01", {"rejections": pa.table({**rows, "trips": [1, 2]})})

    def stop_between(table):
        first, second = blocks(table.slice(0, 1)), blocks(table.slice(1))
        yield from first
        server = psutil.Process(int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        server.send_signal(signal.SIGQUIT)  # an immediate shutdown: it recovers at the next start
        psutil.wait_procs([server], timeout=30)
        yield from second

    blocks = warehouse_module._copy_blocks
    monkeypatch.setattr(warehouse_module, "_copy_blocks", stop_between)
    with pytest.raises(WarehouseError, match=r"Loading warehouse.rejections of 2019-01 .*its rows are unchanged"):
        Warehouse(url).replace_month("2019-01", {"rejections": pa.table({**rows, "trips": [3, 4]})})
    monkeypatch.undo()
    with pytest.raises(WarehouseError, match="PostgreSQL does not answer"):
        Warehouse(url).replace_month("2019-01", {})
    with Warehouse(embedded_database(settings)).connect() as connection:
        assert connection.execute("select trips from warehouse.rejections order by trips").fetchall() == [(1,), (2,)]
