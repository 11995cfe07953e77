"""Give the views of analysts zone names, units in every name, and a comment on every column.

The views are created anew, because PostgreSQL cannot rename the columns of a view in place. Grants on them are made by
the start of the service and by `logitrack database migrate`, after every migration.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_MEASURES = """
    s.trips, s.duration_sum / nullif(s.trips, 0) as avg_duration_minutes,
    analytics.duration_quantile(s.bins, s.counts, 0.5) as median_duration_minutes,
    analytics.duration_quantile(s.bins, s.counts, 0.9) as p90_duration_minutes,
    s.distance_sum / nullif(s.trips, 0) as avg_distance_miles, s.bins, s.counts
"""
_PICKUP = "s.pickup_zone, pickup.name as pickup_zone_name, pickup.borough as pickup_borough"
_DROPOFF = "s.dropoff_zone, dropoff.name as dropoff_zone_name, dropoff.borough as dropoff_borough"
_JOIN_PICKUP = "left join warehouse.zones pickup on pickup.zone = s.pickup_zone"
_JOIN_DROPOFF = "left join warehouse.zones dropoff on dropoff.zone = s.dropoff_zone"
_PAYMENT = """
    case s.payment_type when 1 then 'credit card' when 2 then 'cash' when 3 then 'no charge' when 4 then 'dispute'
    when 0 then 'flex fare' when 6 then 'voided' else 'unknown' end as payment
"""

VIEWS: dict[str, tuple[str, str]] = {
    "trips": (
        "A sample of trips, the same number of each month and fleet. Times are New York's wall clock.",
        f"""
        select s.trip_id, s.month, s.fleet, s.pickup_at, s.dropoff_at, s.pickup_hour, s.pickup_weekday, s.is_holiday,
               s.pickup_zone, pickup.name as pickup_zone_name, s.pickup_borough,
               s.dropoff_zone, dropoff.name as dropoff_zone_name, s.dropoff_borough,
               s.distance_miles, s.duration_minutes, s.passenger_count, s.payment_type, {_PAYMENT},
               s.fare_amount, s.tip_amount, s.total_amount
        from warehouse.analytics_sample s {_JOIN_PICKUP} {_JOIN_DROPOFF}
        """,
    ),
    "hours": (
        "All trips by month, fleet, ISO weekday and hour of the pickup.",
        f"select s.month, s.fleet, s.weekday, s.hour, {_MEASURES} from warehouse.trip_stats_hour s",
    ),
    "zone_hours": (
        "All trips by month, fleet, pickup zone, ISO weekday and hour.",
        f"""
        select s.month, s.fleet, {_PICKUP}, s.weekday, s.hour, {_MEASURES}
        from warehouse.trip_stats_zone_hour s {_JOIN_PICKUP}
        """,
    ),
    "pairs": (
        "All trips by month, fleet, pickup and drop-off zone.",
        f"""
        select s.month, s.fleet, {_PICKUP}, {_DROPOFF}, {_MEASURES}
        from warehouse.trip_stats_pair s {_JOIN_PICKUP} {_JOIN_DROPOFF}
        """,
    ),
    "zone_totals": (
        "All trips by month, fleet and zone, as pickup or as drop-off (direction).",
        f"""
        select s.month, s.fleet, s.zone, z.name as zone_name, z.borough, s.direction, {_MEASURES}
        from warehouse.trip_stats_zone s left join warehouse.zones z on z.zone = s.zone
        """,
    ),
    "payments": (
        "All trips by month, fleet and payment type.",
        f"select s.month, s.fleet, s.payment_type, {_PAYMENT}, {_MEASURES} from warehouse.trip_stats_payment s",
    ),
    "months": (
        "Months that are loaded: rows as published (bronze), kept (silver) and rejected.",
        """
        select month, fleet, rows_bronze, rows_silver, rows_rejected, sample_rows, published_at
        from warehouse.trip_months
        """,
    ),
    "rejections": (
        "Rows that were rejected, by the first rule that they broke.",
        "select month, fleet, rule, reason, trips from warehouse.rejections",
    ),
    "zones": (
        "Taxi zones of the TLC.",
        "select zone, name as zone_name, borough, service_zone, lat, lon from warehouse.zones",
    ),
    "drift": (
        "What each new month looked like beside the months that a model was trained on.",
        "select month, fleet, model_version, measure, value, threshold, drifted, computed_at from warehouse.eta_drift",
    ),
    "outcomes": (
        "Predictions whose real duration was reported: features, answer, error, and whether the outcome counts. By whom"
        " is not here.",
        f"""
        select s.prediction_id, s.predicted_at, s.reported_at, s.model_version, s.fleet, {_PICKUP}, {_DROPOFF},
               s.pickup_at, s.distance_miles, s.predicted_minutes, p.base_minutes, s.low_minutes, s.high_minutes,
               s.level, s.real_minutes, s.predicted_minutes - s.real_minutes as error_minutes,
               s.real_minutes between s.low_minutes and s.high_minutes as in_interval,
               s.plausible, s.implausible_reason, s.vouched, s.counted
        from service.evaluated_outcomes s join service.predictions p using (prediction_id, account_id)
            {_JOIN_PICKUP} {_JOIN_DROPOFF}
        """,
    ),
    "live_error": (
        "Error of live predictions by model version, fleet, day and hour of the pickup, from the outcomes that count.",
        """
        select model_version, fleet, pickup_at::date as day, extract(hour from pickup_at)::smallint as hour,
               count(*) as outcomes, avg(abs(predicted_minutes - real_minutes)) as mae_minutes,
               percentile_cont(0.5) within group (order by abs(predicted_minutes - real_minutes))
                   as median_error_minutes,
               avg(predicted_minutes - real_minutes) as bias_minutes,
               avg((real_minutes between low_minutes and high_minutes)::int) as coverage, avg(level) as level
        from service.evaluated_outcomes
        where counted
        group by 1, 2, 3, 4
        """,
    ),
}
COLUMNS = {
    "about_column": "What the column means.",
    "about_view": "What a row of the view is; in the row of its first column.",
    "avg_distance_miles": "Mean metered miles, exact.",
    "avg_duration_minutes": "Mean minutes, exact.",
    "base_minutes": "The model's answer without live correction; null of predictions from before it.",
    "bias_minutes": "Mean of predicted minus real minutes; positive means that predictions are too long.",
    "bins": "Bins of the sketch of durations; see the function analytics.duration_quantile.",
    "borough": "Borough of the zone; EWR is Newark Airport.",
    "column_name": "Name of the column.",
    "computed_at": "When it was computed.",
    "counted": "Plausible and vouched: counts for live error and retraining.",
    "counts": "Trips in each bin.",
    "coverage": "Share of real durations inside their interval; should equal the level.",
    "day": "Day of the pickup on New York's calendar.",
    "direction": "pickup or dropoff.",
    "distance_miles": "Miles: as metered of trips, as planned of predictions; null where not given.",
    "drifted": "Whether the value is beyond the threshold.",
    "dropoff_at": "End of the trip on New York's clocks.",
    "dropoff_borough": "Borough of the drop-off zone.",
    "dropoff_zone": "TLC taxi zone of the drop-off.",
    "dropoff_zone_name": "Name of the drop-off zone.",
    "duration_minutes": "Minutes from pickup to drop-off.",
    "error_minutes": "Predicted minus real minutes.",
    "fare_amount": "Metered fare, dollars.",
    "fleet": "yellow or green.",
    "high_minutes": "Upper end of the predicted interval.",
    "hour": "Hour of the pickup on New York's clocks, 0 to 23.",
    "implausible_reason": "too_short, too_long, impossible_speed, pickup_long_before_prediction or"
    " reported_before_end; null where plausible.",
    "in_interval": "Whether the real duration lies inside the predicted interval.",
    "is_holiday": "Whether the pickup is on a public holiday of New York.",
    "lat": "Latitude of the centroid, WGS 84 degrees; null for the zones 264 (unknown) and 265 (outside).",
    "level": "Probability with which the interval was to hold the real duration.",
    "lon": "Longitude of the centroid, WGS 84 degrees.",
    "low_minutes": "Lower end of the predicted interval.",
    "mae_minutes": "Mean absolute error.",
    "measure": "psi with the name of an input (population stability index), volume ratio or error ratio.",
    "median_duration_minutes": "Median minutes, to 1%.",
    "median_error_minutes": "Median absolute error; few wrong reports do not move it.",
    "model_version": "Version of the model.",
    "month": "Month of the pickup, YYYY-MM.",
    "outcomes": "Number of outcomes.",
    "p90_duration_minutes": "Minutes below which nine trips of ten lie, to 1%.",
    "passenger_count": "As entered by the driver.",
    "payment": "Name of the payment type.",
    "payment_type": "Code of the TLC's data dictionary; null or -1 where not recorded.",
    "pickup_at": "Pickup on New York's clocks; of predictions the planned one.",
    "pickup_borough": "Borough of the pickup zone.",
    "pickup_hour": "Hour of the pickup on New York's clocks, 0 to 23.",
    "pickup_weekday": "ISO weekday of the pickup, Monday is 1.",
    "pickup_zone": "TLC taxi zone of the pickup.",
    "pickup_zone_name": "Name of the pickup zone.",
    "plausible": "Whether the real duration can be true.",
    "predicted_at": "When the prediction was made.",
    "predicted_minutes": "The predicted duration.",
    "prediction_id": "Id of the prediction.",
    "published_at": "When the month was loaded.",
    "real_minutes": "The reported duration.",
    "promoted_by": "Account or program that promoted it.",
    "champions.reason": "Why it was promoted.",
    "reason": "What the rule means.",
    "reported_at": "When the real duration was reported.",
    "rows_bronze": "Rows of the file as published.",
    "rows_rejected": "Rows that are no trips.",
    "rows_silver": "Rows that count as trips.",
    "rule": "Name of the cleaning rule.",
    "sample_rows": "Trips of the month in the view trips.",
    "service_zone": "The TLC's service zone.",
    "threshold": "Limit beyond which a value counts as drift.",
    "tip_amount": "Tip by card, dollars.",
    "total_amount": "What the passenger paid, dollars, without tips in cash.",
    "trip_id": "Stable id of the trip in its month and fleet.",
    "trips": "Number of trips.",
    "type": "PostgreSQL type.",
    "value": "Value of the measure.",
    "view": "Name of the view.",
    "vouched": "Whether an admin vouches for the account that reported it.",
    "weekday": "ISO weekday of the pickup, Monday is 1.",
    "zone": "TLC taxi zone, 1 to 265.",
    "zone_name": "Name of the zone.",
}


def upgrade() -> None:
    op.execute(f"drop view {', '.join(f'analytics.{name}' for name in VIEWS)}")
    for name, (comment, query) in VIEWS.items():
        op.execute(f"create view analytics.{name} as {query}")
        op.execute(f"comment on view analytics.{name} is '{_quoted(comment)}'")
    columns = op.get_bind().exec_driver_sql(
        "select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'analytics'::regnamespace and c.relkind = 'v'"
        " and col_description(c.oid, a.attnum) is null"
    )
    for view, column in columns.all():
        if meaning := COLUMNS.get(f"{view}.{column}", COLUMNS.get(column)):
            op.execute(f"comment on column analytics.{view}.{column} is '{_quoted(meaning)}'")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only: restore the backup.")


def _quoted(text: str) -> str:
    return text.replace("'", "''")
