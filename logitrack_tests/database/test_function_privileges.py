"""Functions with side effects are revoked from PUBLIC, and so from analysts, and from nobody else."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import ProgrammingError

from logitrack_assets.database.function_privileges import revoke_functions


def test_other_logins_keep_their_functions(database_url: str) -> None:
    """The logins of the service and the assets need advisory locks and notifications."""
    own = create_engine(database_url)
    roles = ("denied_login", "other_login")
    with own.begin() as connection:
        for role in roles:
            connection.exec_driver_sql(f"create role {role} login")
        revoke_functions(connection, "denied_login")
    denied, other = (create_engine(make_url(database_url).set(username=role)) for role in roles)
    statements = (
        "select pg_advisory_xact_lock(1), pg_notify('logitrack_revocations', '')",
        "select count(*) from pg_stat_activity",
    )
    try:
        for statement in statements:
            with other.begin() as connection:
                connection.exec_driver_sql(statement)
            with denied.begin() as connection, pytest.raises(ProgrammingError, match="permission denied"):
                connection.exec_driver_sql(statement)
    finally:
        denied.dispose()
        other.dispose()
        with own.begin() as connection:
            for role in roles:
                connection.exec_driver_sql(f"drop owned by {role}")
                connection.exec_driver_sql(f"drop role {role}")
        own.dispose()
