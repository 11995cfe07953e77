"""Functions that the analysts' role may call.

PostgreSQL grants EXECUTE on nearly all functions to PUBLIC, and a right of PUBLIC cannot be denied to one role.
Volatile functions are therefore revoked from PUBLIC and granted to the other logins. The exceptions are listed, so
volatile functions of later versions and of extensions are denied as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, column, func, not_, or_, select, table

# Volatile functions without an effect outside of their own result or session.
ALLOWED_VOLATILE_FUNCTIONS = (
    "array_sample", "array_shuffle", "clock_timestamp", "gen_random_uuid", "random", "random_normal", "setseed",
    "timeofday", "uuidv4", "uuidv7",
)  # fmt: skip

# Functions that are declared stable, but show other sessions, run a query from a text or consume transaction ids.
DENIED_STABLE_PREFIXES = (
    "pg_stat_", "pg_current_xact_id", "txid_current", "pg_get_replication_slots", "pg_show_replication",
    "database_to_xml", "schema_to_xml", "table_to_xml",
)  # fmt: skip

_functions = table(
    "pg_proc",
    column("oid"), column("proname"), column("proowner"), column("pronamespace"), column("provolatile"),
    schema="pg_catalog",
)  # fmt: skip
_namespaces = table("pg_namespace", column("oid"), column("nspname"), schema="pg_catalog")
_logins = table("pg_roles", column("rolname"), column("rolcanlogin"), column("rolsuper"), schema="pg_catalog")


def revoke_functions(connection: Connection, role: str, *, except_for: Sequence[str] = ()) -> None:
    """Revoke functions with side effects from PUBLIC, and grant them to every other login that exists.

    Only functions whose owner's rights the connection has are changed: all of them for a superuser.

    Args:
        connection: A transaction.
        role: The role that loses the functions.
        except_for: Roles without a login that keep them as well.
    """
    signatures = connection.scalars(
        select(
            func.format(
                "%I.%I(%s)",
                _namespaces.c.nspname,
                _functions.c.proname,
                func.pg_get_function_identity_arguments(_functions.c.oid),
            )
        )
        .join_from(_functions, _namespaces, _functions.c.pronamespace == _namespaces.c.oid)
        .where(
            _namespaces.c.nspname != "analytics",
            _is_denied(),
            func.pg_has_role(_functions.c.proowner, "usage"),
            func.has_function_privilege(role, _functions.c.oid, "execute"),
        )
    ).all()
    if not signatures:
        return
    routines = ", ".join(signatures)
    connection.exec_driver_sql(f"revoke execute on routine {routines} from public")
    logins = connection.scalars(
        select(func.quote_ident(_logins.c.rolname)).where(
            _logins.c.rolcanlogin,
            not_(_logins.c.rolsuper),
            not_(func.starts_with(_logins.c.rolname, role)),  # analysts' own logins begin with it
        )
    ).all()
    others = [*logins, *except_for]
    if others:
        connection.exec_driver_sql(f"grant execute on routine {routines} to {', '.join(others)}")


def _is_denied() -> ColumnElement[bool]:
    name = _functions.c.proname
    return or_(
        and_(_functions.c.provolatile == "v", name.not_in(ALLOWED_VOLATILE_FUNCTIONS)),
        *(func.starts_with(name, prefix) for prefix in DENIED_STABLE_PREFIXES),
    )
