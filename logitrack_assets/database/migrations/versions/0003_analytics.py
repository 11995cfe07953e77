"""Create the schema `analytics`: documented views for analysts, and functions that read their sketches.

This file is complete in itself: views, comments and the sketch's constants are written out here, so history stays as it
was when code elsewhere changes.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

RELATIVE_ERROR = 0.01
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)

# The sketch is DDSketch (Masson, Rim and Lee, 2019): bin i counts durations in (g^(i-1), g^i] minutes, and
# 2 g^i / (g + 1) stands for all of them with a relative error of at most 1%. Sketches merge by adding counts.
FUNCTIONS = f"""
create function analytics.duration_quantile(bins smallint[], counts integer[], probability double precision)
returns double precision language sql immutable strict parallel safe as $$
    with cells as (
        select bin, sum(trips) as trips from unnest(bins, counts) as c (bin, trips) group by bin
    ), ranked as (
        select bin, sum(trips) over (order by bin) as reached, sum(trips) over () as total from cells
    )
    select 2 * power({GAMMA!r}::float8, min(bin)) / ({GAMMA!r}::float8 + 1)
    from ranked where reached >= greatest(1, ceil(probability * total))
$$;
comment on function analytics.duration_quantile(smallint[], integer[], double precision) is
    'Minutes below which the given share of trips lies, from a sketch; relative error at most 1%. Bins may repeat.';

create aggregate analytics.all_bins(smallint[]) (sfunc = array_cat, stype = smallint[], initcond = '{{}}');
create aggregate analytics.all_counts(integer[]) (sfunc = array_cat, stype = integer[], initcond = '{{}}');
comment on aggregate analytics.all_bins(smallint[]) is
    'Bins of several sketches, to be merged: duration_quantile(all_bins(bins), all_counts(counts), 0.5).';
comment on aggregate analytics.all_counts(integer[]) is 'Counts of several sketches, in the order of all_bins.';

create function analytics.fits(size integer, most integer) returns boolean
language plpgsql immutable parallel safe as $$
begin
    if size > most then
        raise exception 'a row of % bytes is larger than the % that are allowed', size, most;
    end if;
    return true;
end $$;
comment on function analytics.fits(integer, integer) is 'True, or an error for a row that is too large to be returned.';
"""

_MEASURES = """
    trips, duration_sum / nullif(trips, 0) as avg_duration, distance_sum / nullif(trips, 0) as avg_distance,
    analytics.duration_quantile(bins, counts, 0.5) as median_duration,
    analytics.duration_quantile(bins, counts, 0.9) as p90_duration, bins, counts
"""
_KEYS = {
    "month": "Month, YYYY-MM.",
    "fleet": "yellow or green.",
    "weekday": "ISO weekday, Monday is 1.",
    "hour": "Hour of the pickup on New York's clocks, 0 to 23.",
    "pickup_zone": "TLC taxi zone of the pickup; see analytics.zones.",
    "dropoff_zone": "TLC taxi zone of the drop-off; see analytics.zones.",
    "zone": "TLC taxi zone.",
    "trips": "Trips, all of them: this is no sample.",
    "avg_duration": "Mean minutes, exact.",
    "avg_distance": "Mean metered miles.",
    "median_duration": "Median minutes, to 1%.",
    "p90_duration": "Minutes below which nine trips of ten lie, to 1%.",
    "bins": "Bins of the sketch of durations; see analytics.duration_quantile.",
    "counts": "Trips in each bin.",
}

VIEWS: dict[str, tuple[str, str]] = {
    "trips": (
        "A sample of trips, the same number of each month; times are New York's wall clock, durations minutes.",
        "select * from warehouse.analytics_sample",
    ),
    "hours": (
        "All trips by month, fleet, ISO weekday and hour of the pickup.",
        f"select month, fleet, weekday, hour, {_MEASURES} from warehouse.trip_stats_hour",
    ),
    "zone_hours": (
        "All trips by month, fleet, pickup zone, ISO weekday and hour.",
        f"select month, fleet, pickup_zone, weekday, hour, {_MEASURES} from warehouse.trip_stats_zone_hour",
    ),
    "pairs": (
        "All trips by month, fleet, pickup and drop-off zone.",
        f"select month, fleet, pickup_zone, dropoff_zone, {_MEASURES} from warehouse.trip_stats_pair",
    ),
    "zone_totals": (
        "All trips by month, fleet and zone, as pickup or as drop-off (direction).",
        f"select month, fleet, zone, direction, {_MEASURES} from warehouse.trip_stats_zone",
    ),
    "payments": (
        "All trips by month, fleet and payment type (1 card, 2 cash, 3 no charge, 4 dispute, -1 not recorded).",
        f"select month, fleet, payment_type, {_MEASURES} from warehouse.trip_stats_payment",
    ),
    "months": (
        "Months that are loaded: rows as published (bronze), kept (silver) and rejected.",
        """
        select month, fleet, rows_bronze, rows_silver, rows_rejected, sample_rows, published_at
        from warehouse.trip_months
        """,
    ),
    "rejections": (
        "Trips that were rejected, by the first rule they broke.",
        "select month, fleet, rule, reason, trips from warehouse.rejections",
    ),
    "zones": ("TLC taxi zones with borough and centroid.", "select * from warehouse.zones"),
    "drift": (
        "What each new month looked like beside the months that a model was trained on.",
        "select * from warehouse.eta_drift",
    ),
    "outcomes": (
        "Predictions whose real duration was reported: features, answer, error. By whom is not here.",
        """
        select p.prediction_id, p.at as predicted_at, o.reported_at, p.model_version, p.fleet, p.pickup_zone,
               p.dropoff_zone, p.pickup_at, p.distance_miles, p.duration_minutes as predicted_minutes,
               p.low_minutes, p.high_minutes, p.level, o.duration_minutes as real_minutes,
               p.duration_minutes - o.duration_minutes as error_minutes,
               o.duration_minutes between p.low_minutes and p.high_minutes as in_interval
        from service.outcomes o join service.predictions p using (prediction_id, account_id)
        """,
    ),
    "live_error": (
        "Error of live predictions by model version, fleet, day and hour of the pickup, from reported outcomes.",
        """
        select p.model_version, p.fleet, p.pickup_at::date as day, extract(hour from p.pickup_at)::smallint as hour,
               count(*) as outcomes, avg(abs(p.duration_minutes - o.duration_minutes)) as mae,
               avg(p.duration_minutes - o.duration_minutes) as bias,
               avg((o.duration_minutes between p.low_minutes and p.high_minutes)::int) as coverage,
               avg(p.level) as level
        from service.outcomes o join service.predictions p using (prediction_id, account_id)
        group by 1, 2, 3, 4
        """,
    ),
}


def upgrade() -> None:
    op.execute("create schema if not exists analytics")
    op.execute(
        "comment on schema analytics is 'What analysts may read. Begin with: select * from analytics.documentation'"
    )
    op.execute(FUNCTIONS)
    for name, (comment, query) in VIEWS.items():
        op.execute(f"create view analytics.{name} as {query}")
        op.execute(f"comment on view analytics.{name} is '{comment.replace(chr(39), chr(39) * 2)}'")
        columns = op.get_bind().exec_driver_sql(
            f"select attname from pg_attribute where attrelid = 'analytics.{name}'::regclass and attnum > 0"
        )
        for column in columns.scalars():
            if meaning := _KEYS.get(column):
                op.execute(f"comment on column analytics.{name}.{column} is '{meaning.replace(chr(39), chr(39) * 2)}'")
    op.execute(
        """
        create view analytics.documentation as
        select c.relname::text as view, a.attname::text as column_name, format_type(a.atttypid, a.atttypmod) as type,
               case when a.attnum = 1 then obj_description(c.oid, 'pg_class') end as about_view,
               col_description(c.oid, a.attnum) as about_column
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'analytics'::regnamespace and c.relkind = 'v'
        order by 1, a.attnum
        """
    )
    op.execute("comment on view analytics.documentation is 'Every view and column in this schema, with what it means.'")


def downgrade() -> None:
    op.execute("drop schema analytics cascade")
