"""Create the warehouse: tables of trips that the assets publish month by month.

Fact tables are replaced one month at a time (delete, then COPY, in one transaction), so each primary key begins with
the month. Durations are minutes, distances miles, timestamps New York wall-clock time.

The zone rows come from a copy of the TLC's zone table beside this file: a later change of the reference data must not
change what this migration creates.
"""

import csv
from pathlib import Path

from alembic import op
from sqlalchemy import bindparam, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ZONES_CSV = Path(__file__).with_name("0001_zones.csv")

TABLES = """
create table warehouse.zones (
    zone smallint primary key,
    borough text,
    name text,
    service_zone text,
    lat double precision,
    lon double precision
);

create table warehouse.analytics_sample (
    trip_id bigint not null,
    month text not null,
    fleet text not null,
    pickup_at timestamp not null,
    dropoff_at timestamp not null,
    pickup_hour smallint not null,
    pickup_weekday smallint not null,
    is_holiday boolean not null,
    pickup_zone smallint not null,
    dropoff_zone smallint not null,
    pickup_borough text,
    dropoff_borough text,
    distance_miles real,
    duration_minutes real not null,
    passenger_count smallint,
    payment_type smallint,
    fare_amount real,
    tip_amount real,
    total_amount real,
    primary key (month, fleet, trip_id)
);
create index analytics_sample_pickup_at on warehouse.analytics_sample using brin (pickup_at);
create index analytics_sample_pair on warehouse.analytics_sample (pickup_zone, dropoff_zone);

-- Every rollup counts all trips of a month and fleet. `bins` and `counts` are a DDSketch of duration_minutes
-- (Masson, Rim, Lee: VLDB 2019) with relative accuracy 1%: bin i holds durations in (g^(i-1), g^i] with
-- g = 1.01/0.99, and 2 g^i / (g + 1) stands for them. Sketches of groups are merged by adding counts bin by bin.
create table warehouse.trip_stats_hour (
    month text not null, fleet text not null, weekday smallint not null, hour smallint not null,
    trips bigint not null, duration_sum double precision not null, distance_sum double precision not null,
    bins smallint[] not null, counts integer[] not null,
    primary key (month, fleet, weekday, hour)
);
create table warehouse.trip_stats_zone_hour (
    month text not null, fleet text not null, pickup_zone smallint not null, weekday smallint not null,
    hour smallint not null,
    trips bigint not null, duration_sum double precision not null, distance_sum double precision not null,
    bins smallint[] not null, counts integer[] not null,
    primary key (month, fleet, pickup_zone, weekday, hour)
);
create index trip_stats_zone_hour_zone on warehouse.trip_stats_zone_hour (pickup_zone);
create table warehouse.trip_stats_pair (
    month text not null, fleet text not null, pickup_zone smallint not null, dropoff_zone smallint not null,
    trips bigint not null, duration_sum double precision not null, distance_sum double precision not null,
    bins smallint[] not null, counts integer[] not null,
    primary key (month, fleet, pickup_zone, dropoff_zone)
);
create index trip_stats_pair_zones on warehouse.trip_stats_pair (pickup_zone, dropoff_zone);
create table warehouse.trip_stats_zone (
    month text not null, fleet text not null, zone smallint not null,
    direction text not null check (direction in ('pickup', 'dropoff')),
    trips bigint not null, duration_sum double precision not null, distance_sum double precision not null,
    bins smallint[] not null, counts integer[] not null,
    primary key (month, fleet, zone, direction)
);
-- Payment -1 is "not recorded", as on app-booked trips.
create table warehouse.trip_stats_payment (
    month text not null, fleet text not null, payment_type smallint not null,
    trips bigint not null, duration_sum double precision not null, distance_sum double precision not null,
    bins smallint[] not null, counts integer[] not null,
    primary key (month, fleet, payment_type)
);

create table warehouse.trip_months (
    month text not null, fleet text not null,
    rows_bronze bigint not null, rows_silver bigint not null, rows_rejected bigint not null,
    sample_rows integer not null default 0,
    source_url text, bronze_sha256 text,
    published_at timestamptz not null,
    primary key (month, fleet),
    check (rows_bronze = rows_silver + rows_rejected)
);

create table warehouse.rejections (
    month text not null, fleet text not null, rule text not null, reason text not null,
    trips bigint not null,
    primary key (month, fleet, rule)
);

create table warehouse.eta_drift (
    month text not null, fleet text not null, model_version text not null, measure text not null,
    value double precision, threshold double precision, drifted boolean not null,
    computed_at timestamptz not null default now(),
    primary key (month, fleet, model_version, measure)
);
"""


def upgrade() -> None:
    op.execute(TABLES)
    insert = text("insert into warehouse.zones values (:zone, :borough, :name, :service_zone, :lat, :lon)")
    rows = _zone_rows()
    op.get_bind().execute(insert.bindparams(*(bindparam(name) for name in rows[0])), rows)


def _zone_rows() -> list[dict[str, int | float | str | None]]:
    """Return the 265 TLC zones; an empty field is null."""
    with ZONES_CSV.open(newline="", encoding="utf-8") as file:
        return [
            {
                "zone": int(row["zone"]),
                "borough": row["borough"] or None,
                "name": row["name"] or None,
                "service_zone": row["service_zone"] or None,
                "lat": float(row["lat"]) if row["lat"] else None,
                "lon": float(row["lon"]) if row["lon"] else None,
            }
            for row in csv.DictReader(file)
        ]


def downgrade() -> None:
    for table in (
        "eta_drift", "rejections", "trip_months", "trip_stats_payment", "trip_stats_zone", "trip_stats_pair",
        "trip_stats_zone_hour", "trip_stats_hour", "analytics_sample", "zones",
    ):  # fmt: skip
        op.execute(f"drop table warehouse.{table}")
