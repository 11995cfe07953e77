"""Roles of accounts, in ascending order: each role includes the rights of those before it."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal["user", "analyst", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)


def includes_role(role: str, required: Role) -> bool:
    """Return whether `role` grants the rights of `required`; an unknown role grants none."""
    return role in ROLES[ROLES.index(required) :]
