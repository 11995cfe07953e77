"""A warehouse with generated trips and the exact rollups of them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, text

_TRIPS = """
    insert into warehouse.analytics_sample
        (trip_id, month, fleet, pickup_at, dropoff_at, pickup_hour, pickup_weekday, is_holiday, pickup_zone,
         dropoff_zone, distance_miles, duration_minutes, passenger_count, payment_type, fare_amount, tip_amount,
         total_amount)
    select n, cast(:month as text), :fleet, at, at + make_interval(secs => minutes * 60), extract(hour from at),
           extract(isodow from at), false, pickup, dropoff, minutes / 4, minutes, 1, payment, minutes, 1, minutes + 1
    from (
        select n, cast(cast(:month as text) || '-01' as timestamp)
                   + make_interval(mins => (hashint8(n + 1) & 65535) % 40000) as at,
               1 + (hashint8(n * 7 + 1) & 65535) % :zones as pickup,
               1 + (hashint8(n * 11 + 2) & 65535) % :zones as dropoff,
               1.5 + ((hashint8(n * 13 + 3) & 65535) % 6000) / 100.0 as minutes,
               nullif(1 + (hashint8(n * 17 + 4) & 65535) % 5, 5) as payment
        from generate_series(cast(:first as bigint), :last) as n
    ) as trips
"""
_ROLLUP = """
    insert into warehouse.{table} (month, fleet, {keys}, trips, duration_sum, distance_sum, bins, counts)
    select month, fleet, {keys}, sum(c), sum(d), sum(m), array_agg(bin order by bin), array_agg(c order by bin)
    from (
        select month, fleet, {names}, ceil(ln(duration_minutes) / ln(1.01 / 0.99))::smallint as bin,
               count(*)::int as c, sum(duration_minutes) as d, sum(distance_miles) as m
        from warehouse.analytics_sample {more} where month = :month and fleet = :fleet
        group by 1, 2, {places}, bin
    ) as cells
    group by month, fleet, {keys}
"""
_ROLLUPS = {
    "trip_stats_hour": ("weekday, hour", "pickup_weekday as weekday, pickup_hour as hour", ""),
    "trip_stats_zone_hour": (
        "pickup_zone, weekday, hour",
        "pickup_zone, pickup_weekday as weekday, pickup_hour as hour",
        "",
    ),
    "trip_stats_pair": ("pickup_zone, dropoff_zone", "pickup_zone, dropoff_zone", ""),
    "trip_stats_zone": (
        "zone, direction",
        "zone, direction",
        "cross join lateral (values (pickup_zone, 'pickup'), (dropoff_zone, 'dropoff')) as ends (zone, direction)",
    ),
    "trip_stats_payment": ("payment_type", "coalesce(payment_type, -1) as payment_type", ""),
}


def fill(
    engine: Engine, months: Sequence[str], *, trips: int, zones: int = 30, fleets: Sequence[str] = ("yellow",)
) -> None:
    """Insert `trips` trips for each month and fleet, and their rollups."""
    first = 1
    with engine.begin() as connection:
        for month in months:
            for fleet in fleets:
                values = {"month": month, "fleet": fleet}
                span = {"zones": zones, "first": first, "last": first + trips - 1}
                connection.execute(text(_TRIPS), {**values, **span})
                for table, (keys, names, more) in _ROLLUPS.items():
                    places = ", ".join(str(3 + place) for place in range(keys.count(",") + 1))
                    statement = _ROLLUP.format(table=table, keys=keys, names=names, more=more, places=places)
                    connection.execute(text(statement), values)
                connection.execute(
                    text(
                        "insert into warehouse.trip_months (month, fleet, rows_bronze, rows_silver, rows_rejected,"
                        " sample_rows, source_url, bronze_sha256, published_at)"
                        " values (:month, :fleet, cast(:trips as bigint) + 10, :trips, 10, :trips, 'file:///made-up',"
                        " 'x', now())"
                    ),
                    {**values, "trips": trips},
                )
                connection.execute(
                    text(
                        "insert into warehouse.rejections (month, fleet, rule, reason, trips)"
                        " values (:month, :fleet, 'too_short', 'shorter than a minute', 10)"
                    ),
                    values,
                )
                first += trips
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("vacuum analyze"))
