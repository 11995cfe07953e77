"""SQLAlchemy Core tables of the schemas `service` and `warehouse`, as the migrations create them.

Statements use these tables; `python -m logitrack_assets.database.check` compares them with a migrated database. The
schema `analytics` holds views and functions for analysts only: it has no tables, and nothing here refers to it.

Units: durations are minutes, distances miles; `timestamp` without time zone is New York wall-clock time.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    TIMESTAMP,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

# PostgreSQL's own default names, which the migrations rely on.
_NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s",
}

SERVICE = MetaData(schema="service", naming_convention=_NAMING_CONVENTION)
WAREHOUSE = MetaData(schema="warehouse", naming_convention=_NAMING_CONVENTION)


def _instant(name: str, *, nullable: bool = False, default_now: bool = False) -> Column[Any]:
    """Return a `timestamptz` column; `default_now` makes the transaction's start its default."""
    return Column(name, TIMESTAMP(timezone=True), nullable=nullable, server_default=func.now() if default_now else None)


# --- service: accounts ------------------------------------------------------------------------------------------------

accounts = Table(
    "accounts",
    SERVICE,
    Column("account_id", BigInteger, Identity(always=True), primary_key=True),
    Column("username", Text, nullable=False),
    Column("password_hash", Text, nullable=False),  # Argon2id, encoded with its parameters
    Column("role", Text, nullable=False, server_default="user"),
    _instant("created_at", default_now=True),
    _instant("password_changed_at", default_now=True),
    Column("normalized_username", Text, nullable=False),  # logitrack_service.auth.usernames
    Column("vouched", Boolean, nullable=False, server_default=false()),  # an admin answers for what it reports
    _instant("disabled_at", nullable=True),
    CheckConstraint("role in ('user', 'analyst', 'admin')", name="role_check"),
)
Index("accounts_normalized_username", accounts.c.normalized_username, unique=True)

sessions = Table(
    "sessions",
    SERVICE,
    Column("session_id", Uuid(as_uuid=False), primary_key=True),
    # Null once the account has been deleted: its revoked sessions stay until their access tokens have expired.
    Column("account_id", BigInteger, ForeignKey(accounts.c.account_id, ondelete="SET NULL")),
    _instant("created_at", default_now=True),
    _instant("expires_at"),
    _instant("revoked_at", nullable=True),
    Column("reason", Text),  # of the revocation
    _instant("last_used_at", default_now=True),  # the login or the last refresh
    Column("network", Text),  # of the login
    Column("cookie_digest", LargeBinary),  # SHA-256 of a browser's cookie; null for sessions of programs
)
Index("sessions_cookie", sessions.c.cookie_digest, unique=True)
Index("sessions_account", sessions.c.account_id)
Index("sessions_expires", sessions.c.expires_at)
Index("sessions_revoked", sessions.c.revoked_at, postgresql_where=sessions.c.revoked_at.is_not(None))

refresh_tokens = Table(
    "refresh_tokens",
    SERVICE,
    Column("digest", LargeBinary, primary_key=True),  # SHA-256 of the token; the token itself is never stored
    Column("session_id", Uuid(as_uuid=False), ForeignKey(sessions.c.session_id, ondelete="CASCADE"), nullable=False),
    _instant("issued_at", default_now=True),
    _instant("used_at", nullable=True),
)
Index("refresh_tokens_session", refresh_tokens.c.session_id)

known_networks = Table(
    "known_networks",
    SERVICE,
    Column("account_id", BigInteger, ForeignKey(accounts.c.account_id, ondelete="CASCADE"), primary_key=True),
    Column("network", Text, primary_key=True),
    _instant("last_login_at", default_now=True),
)

throttle = Table(
    "throttle",
    SERVICE,
    Column("kind", Text, primary_key=True),  # the name of a limit of logitrack_service.auth
    Column("subject", Text, primary_key=True),  # the username, the network, or both, that is throttled
    Column("attempts", Integer, nullable=False),
    _instant("last_at"),
    _instant("blocked_until"),
)
Index("throttle_last_at", throttle.c.last_at)

audit_events = Table(
    "audit_events",
    SERVICE,
    Column("event_id", BigInteger, Identity(always=True), primary_key=True),
    _instant("at", default_now=True),
    Column("event", Text, nullable=False),
    Column("account_id", BigInteger),  # no foreign key: events outlive accounts
    Column("username", Text),
    Column("address", Text),
    Column("request_id", Text),
    Column("detail", JSONB(none_as_null=True)),
)
Index("audit_events_at", audit_events.c.at)
Index(  # one event per promotion, however many workers record it
    "audit_events_promotions",
    audit_events.c.detail["promoted_at"].astext,
    audit_events.c.detail["version"].astext,
    unique=True,
    postgresql_where=audit_events.c.event == "model_promoted",
)

saved_queries = Table(
    "saved_queries",
    SERVICE,
    Column("account_id", BigInteger, ForeignKey(accounts.c.account_id, ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sql", Text, nullable=False),
    _instant("updated_at", default_now=True),
)

# --- service: predictions ---------------------------------------------------------------------------------------------

predictions = Table(
    "predictions",
    SERVICE,
    Column("prediction_id", Uuid(as_uuid=False), primary_key=True),
    _instant("at"),
    Column("account_id", BigInteger, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("pickup_zone", SmallInteger, nullable=False),
    Column("dropoff_zone", SmallInteger, nullable=False),
    Column("pickup_at", TIMESTAMP, nullable=False),
    Column("distance_miles", REAL),  # the planned distance, where the request gave one
    Column("duration_minutes", REAL, nullable=False),
    Column("low_minutes", REAL, nullable=False),
    Column("high_minutes", REAL, nullable=False),
    Column("level", REAL, nullable=False),  # of the interval, between 0 and 1
    Column("support", Integer, nullable=False),
    Column("extrapolating", Boolean, nullable=False),
    Column("base_minutes", REAL),  # the answer without live correction; null in rows of earlier releases
    Column("live_position", BigInteger),  # of the live state that corrected the answer; null without one
)
Index("predictions_at", predictions.c.at)

outcomes = Table(
    "outcomes",
    SERVICE,
    # No foreign key: an outcome may arrive before its prediction has been flushed to the log. The account is part of
    # the key, so no account can report the outcome of another account's prediction.
    Column("prediction_id", Uuid(as_uuid=False), primary_key=True),
    Column("account_id", BigInteger, primary_key=True),
    Column("duration_minutes", REAL, nullable=False),
    _instant("reported_at", default_now=True),
    # Null until it was looked at, 0 where it does not count, else its place in the sequence that is learned.
    Column("live_position", BigInteger),
)
Index("outcomes_reported", outcomes.c.reported_at)
Index(
    "outcomes_live_position",
    outcomes.c.live_position,
    unique=True,
    postgresql_where=outcomes.c.live_position > 0,
)
Index("outcomes_live_pending", outcomes.c.reported_at, postgresql_where=outcomes.c.live_position.is_(None))

live_states = Table(
    "live_states",
    SERVICE,
    Column("model_version", Text, primary_key=True),
    Column("format", SmallInteger, primary_key=True, autoincrement=False),  # eta.live.STATE_FORMAT
    Column("position", BigInteger, primary_key=True, autoincrement=False),  # of the last outcome that it learned
    Column("state", LargeBinary, nullable=False),
    Column("summary", JSONB, nullable=False),
    _instant("created_at", default_now=True),
)
Index("live_states_created", live_states.c.created_at)

usage = Table(
    "usage",
    SERVICE,
    Column("account_id", BigInteger, primary_key=True, autoincrement=False),  # no foreign key: as in predictions
    Column("day", Date, primary_key=True),  # UTC
    Column("predictions", BigInteger, nullable=False, server_default=text("0")),
    Column("outcomes", BigInteger, nullable=False, server_default=text("0")),
)
Index("usage_day", usage.c.day)

# --- warehouse --------------------------------------------------------------------------------------------------------

zones = Table(
    "zones",
    WAREHOUSE,
    Column("zone", SmallInteger, primary_key=True, autoincrement=False),
    Column("borough", Text),
    Column("name", Text),
    Column("service_zone", Text),
    Column("lat", Double),  # centroid, degrees (WGS 84)
    Column("lon", Double),
)

analytics_sample = Table(
    "analytics_sample",
    WAREHOUSE,
    Column("trip_id", BigInteger, nullable=False),
    Column("month", Text, nullable=False),
    Column("fleet", Text, nullable=False),
    Column("pickup_at", TIMESTAMP, nullable=False),
    Column("dropoff_at", TIMESTAMP, nullable=False),
    Column("pickup_hour", SmallInteger, nullable=False),
    Column("pickup_weekday", SmallInteger, nullable=False),  # ISO: Monday is 1
    Column("is_holiday", Boolean, nullable=False),
    Column("pickup_zone", SmallInteger, nullable=False),
    Column("dropoff_zone", SmallInteger, nullable=False),
    Column("pickup_borough", Text),
    Column("dropoff_borough", Text),
    Column("distance_miles", REAL),
    Column("duration_minutes", REAL, nullable=False),
    Column("passenger_count", SmallInteger),
    Column("payment_type", SmallInteger),
    Column("fare_amount", REAL),  # dollars, as the next two
    Column("tip_amount", REAL),
    Column("total_amount", REAL),
    PrimaryKeyConstraint("month", "fleet", "trip_id"),
)
Index("analytics_sample_pickup_at", analytics_sample.c.pickup_at, postgresql_using="brin")
Index("analytics_sample_pair", analytics_sample.c.pickup_zone, analytics_sample.c.dropoff_zone)


def _rollup(name: str, *keys: Column[Any], constraints: tuple[CheckConstraint, ...] = ()) -> Table:
    """Return a rollup table: all trips of a month and fleet, grouped by `keys`.

    `bins` and `counts` are a DDSketch of `duration_minutes` (Masson, Rim, Lee: VLDB 2019) with a relative accuracy of
    1%: bin i holds durations in (g^(i-1), g^i] with g = 1.01/0.99, and 2 g^i / (g + 1) stands for them. Sketches of
    groups merge by adding counts bin by bin.
    """
    return Table(
        name,
        WAREHOUSE,
        Column("month", Text, nullable=False),
        Column("fleet", Text, nullable=False),
        *keys,
        Column("trips", BigInteger, nullable=False),
        Column("duration_sum", Double, nullable=False),
        Column("distance_sum", Double, nullable=False),
        Column("bins", ARRAY(SmallInteger), nullable=False),
        Column("counts", ARRAY(Integer), nullable=False),
        PrimaryKeyConstraint("month", "fleet", *(key.name for key in keys)),
        *constraints,
    )


def _key(name: str) -> Column[int]:
    return Column(name, SmallInteger, nullable=False)


trip_stats_hour = _rollup("trip_stats_hour", _key("weekday"), _key("hour"))
trip_stats_zone_hour = _rollup("trip_stats_zone_hour", _key("pickup_zone"), _key("weekday"), _key("hour"))
Index("trip_stats_zone_hour_zone", trip_stats_zone_hour.c.pickup_zone)
trip_stats_pair = _rollup("trip_stats_pair", _key("pickup_zone"), _key("dropoff_zone"))
Index(  # totals of zone pairs are read from this index alone: the rows are wide with their sketches
    "trip_stats_pair_totals",
    trip_stats_pair.c.pickup_zone,
    trip_stats_pair.c.dropoff_zone,
    trip_stats_pair.c.month,
    trip_stats_pair.c.fleet,
    postgresql_include=["trips", "duration_sum"],
)
trip_stats_zone = _rollup(
    "trip_stats_zone",
    _key("zone"),
    Column("direction", Text, nullable=False),
    constraints=(CheckConstraint("direction in ('pickup', 'dropoff')", name="direction_check"),),
)
trip_stats_payment = _rollup("trip_stats_payment", _key("payment_type"))  # -1: not recorded, as on app-booked trips

trip_months = Table(
    "trip_months",
    WAREHOUSE,
    Column("month", Text, primary_key=True),
    Column("fleet", Text, primary_key=True),
    Column("rows_bronze", BigInteger, nullable=False),
    Column("rows_silver", BigInteger, nullable=False),
    Column("rows_rejected", BigInteger, nullable=False),
    Column("sample_rows", Integer, nullable=False, server_default=text("0")),
    Column("source_url", Text),
    Column("bronze_sha256", Text),
    _instant("published_at"),
    CheckConstraint("rows_bronze = rows_silver + rows_rejected", name="check"),
)

rejections = Table(
    "rejections",
    WAREHOUSE,
    Column("month", Text, primary_key=True),
    Column("fleet", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("trips", BigInteger, nullable=False),
)

# The state of the pipeline is copied here by a sensor, for the service; each copy replaces all rows.

pipeline_months = Table(
    "pipeline_months",
    WAREHOUSE,
    Column("month", Text, primary_key=True),
    Column("fleet", Text, primary_key=True),
    Column("published", Boolean),  # whether the source has the file; null if it was not probed
    Column("failure", Text),
    Column("run_id", Text),  # of the failure
)

pipeline_runs = Table(
    "pipeline_runs",
    WAREHOUSE,
    Column("run_id", Text, primary_key=True),
    Column("job", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("first_month", Text),
    Column("last_month", Text),
    Column("reason", Text),
    Column("problem", Text),  # of an orphaned or stalled run
    _instant("created_at"),
    _instant("started_at", nullable=True),
    _instant("ended_at", nullable=True),
)

pipeline_health = Table(
    "pipeline_health",
    WAREHOUSE,
    Column("part", Text, primary_key=True),
    Column("status", Text, nullable=False),
    Column("fact", Text, nullable=False),
    Column("hint", Text),
    _instant("checked_at"),
)

eta_drift = Table(
    "eta_drift",
    WAREHOUSE,
    Column("month", Text, primary_key=True),
    Column("fleet", Text, primary_key=True),
    Column("model_version", Text, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("value", Double),
    Column("threshold", Double),
    Column("drifted", Boolean, nullable=False),
    _instant("computed_at", default_now=True),
)
