"""The README's table of settings, made from their definitions: `python -m logitrack_tests.project.settings_table`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from logitrack_assets.settings import RoleSettings, Settings
from logitrack_service.settings import ServiceSettings
from logitrack_tests.conftest import REPOSITORY

HEADER = "| setting | default | what it is |\n|---|---|---|\n"
_TABLE = re.compile(re.escape(HEADER) + r"(?:\|.*\n)+")


def settings_table() -> str:
    """Return the table, Markdown: one row for each setting of both packages, in the order of their definitions."""
    return HEADER + "".join(_rows())


def documented_table(readme: str) -> str:
    """Return the table that a README has; empty when it has none."""
    match = _TABLE.search(readme)
    return match[0] if match else ""


def _rows() -> Iterator[str]:
    for kind in (Settings, ServiceSettings, RoleSettings):
        for name, field in kind.model_fields.items():
            yield f"| `LOGITRACK_{name.upper()}` | {_default(field)} | {field.description} |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    return "unset" if value in (None, "") else f"`{value}`"


if __name__ == "__main__":
    file = REPOSITORY / "README.md"
    file.write_text(_TABLE.sub(lambda _: settings_table(), file.read_text(encoding="utf-8")), encoding="utf-8")
