"""What docs/analysts.md and its notebook show works, with the login that an analyst gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import psycopg
import pytest
from sqlalchemy import create_engine

from logitrack_assets.database import analyst_address
from logitrack_assets.database.roles import analyst_role_name, create_analyst_login, drop_analyst_login
from logitrack_tests.conftest import REPOSITORY
from logitrack_tests.eta.examples import random_trips, write_silver
from logitrack_tests.service.conftest import ServiceHome

GUIDE = (REPOSITORY / "docs" / "analysts.md").read_text(encoding="utf-8")
NOTEBOOK = REPOSITORY / "docs" / "notebooks" / "city.ipynb"
NAME = "reader-of-the-guide"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def address(service_home: ServiceHome) -> Iterator[str]:
    """The address of an analyst on the database with the generated trips."""
    with service_home.worker():  # its start creates the analysts' role
        pass
    engine = create_engine(service_home.url)
    with engine.begin() as connection:
        password = create_analyst_login(connection, NAME)
    yield analyst_address(service_home.url, role=analyst_role_name(NAME), password=password, embedded_port=None)
    with engine.begin() as connection:
        drop_analyst_login(connection, NAME)
    engine.dispose()


def test_the_three_questions_have_answers(address: str) -> None:
    questions = blocks("sql")
    assert len(questions) == 3
    with psycopg.connect(address) as connection:
        rows = [connection.execute(question).fetchall() for question in questions]
    assert len(rows[0]) == 20
    assert len(rows[1]) == 24


def test_pandas_reads_the_months(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("ANALYST_URL", address)
    (code,) = [block for block in blocks("python") if "pandas" in block]
    exec(compile(code, "docs/analysts.md", "exec"), {})  # noqa: S102  # our own document
    assert len(capsys.readouterr().out.splitlines()) == 1 + 6, "three months of two fleets"


def test_duckdb_reads_the_lake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_silver(tmp_path, "2019-06", random_trips(50))
    (code,) = [block for block in blocks("python") if "duckdb" in block]
    exec(compile(code.replace("LOGITRACK_HOME", str(tmp_path)), "docs/analysts.md", "exec"), {})  # noqa: S102
    assert re.search(r"2019-06 +│ yellow +│ +50", capsys.readouterr().out)


def test_the_notebook_runs(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANALYST_URL", address)
    mpl.use("agg")
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"), "clear the outputs"
    names: dict[str, object] = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"{NOTEBOOK.name}[{number}]", "exec"), names)  # noqa: S102  # our own notebook
    assert len(names["by_hour"]) == 48  # type: ignore[arg-type]
    assert len(names["pairs"]) == 20  # type: ignore[arg-type]


def test_every_view_is_in_the_table(address: str) -> None:
    with psycopg.connect(address) as connection:
        views = {view for (view,) in connection.execute("select distinct view from documentation")}
    table = set(re.findall(r"`(\w+)`", GUIDE.split("| view |")[1].split("## Ways in")[0]))
    assert views - {"documentation"} <= table
