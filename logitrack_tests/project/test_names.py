"""One name, one meaning: no two public classes or functions of the two packages share a name."""

from __future__ import annotations

import ast
from collections import defaultdict

from logitrack_tests.conftest import REPOSITORY


def public_definitions() -> dict[str, list[str]]:
    """Map every public class and function at module level to the modules that define it; migrations left out."""
    places: dict[str, list[str]] = defaultdict(list)
    for package in ("logitrack_assets", "logitrack_service"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            for node in ast.parse(path.read_text()).body:
                is_definition = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
                if is_definition and not node.name.startswith("_"):
                    places[node.name].append(str(path.relative_to(REPOSITORY)))
    return places


def test_public_names_are_unique() -> None:
    clashes = {name: paths for name, paths in public_definitions().items() if len(paths) > 1}
    assert clashes == {}
