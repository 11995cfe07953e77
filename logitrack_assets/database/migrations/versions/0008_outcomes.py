"""Evaluate outcomes: which ones count, and how much an account stores.

`service.evaluated_outcomes` is the one definition of an outcome that counts; live error, retraining and the views for
analysts read it. It is a view, so an outcome that arrives before its prediction's row is evaluated once the row is
there.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The cleaning rules of trips (trips/rules.py) and the geometry of the features (eta/features.py); a test compares them.
MIN_MINUTES, MAX_MINUTES, MAX_SPEED_MPH = 1, 180, 80
MAX_PICKUP_AGE = "1 day"  # before the prediction
MAX_EARLIER_START = "30 minutes"  # of the ride, before the planned pickup
MAX_CLOCK_SKEW = "1 minute"

# Of the two moments of a doubled hour the earlier one; PostgreSQL takes the later one.
_PICKUP_INSTANT = (
    "least(p.pickup_at at time zone 'America/New_York',"
    " (p.pickup_at - interval '1 hour') at time zone 'America/New_York' + interval '1 hour')"
)
EVALUATED_OUTCOMES = f"""
    select prediction_id, account_id, predicted_at, reported_at, model_version, fleet, pickup_zone, dropoff_zone,
           pickup_at, distance_miles, predicted_minutes, low_minutes, high_minutes, level, real_minutes, vouched,
           implausible_reason is null as plausible, implausible_reason,
           vouched and implausible_reason is null as counted
    from (
        select p.prediction_id, p.account_id, p.at as predicted_at, o.reported_at, p.model_version, p.fleet,
               p.pickup_zone, p.dropoff_zone, p.pickup_at, p.distance_miles, p.duration_minutes as predicted_minutes,
               p.low_minutes, p.high_minutes, p.level, o.duration_minutes as real_minutes,
               coalesce(a.vouched, false) as vouched,
               case
                   when o.duration_minutes < {MIN_MINUTES} then 'too_short'
                   when o.duration_minutes > {MAX_MINUTES} then 'too_long'
                   when greatest(
                       p.distance_miles,
                       sqrt(power((dropoff.lon - pickup.lon) * 69.17 * cos(radians(40.73)), 2)
                            + power((dropoff.lat - pickup.lat) * 69.0, 2))
                   ) > o.duration_minutes * {MAX_SPEED_MPH} / 60.0 then 'impossible_speed'
                   when instant.pickup < p.at - interval '{MAX_PICKUP_AGE}' then 'pickup_long_before_prediction'
                   when o.reported_at < least(instant.pickup, greatest(
                       p.at, instant.pickup - interval '{MAX_EARLIER_START}'
                   )) + make_interval(secs => o.duration_minutes * 60.0) - interval '{MAX_CLOCK_SKEW}'
                       then 'reported_before_end'
               end as implausible_reason
        from service.outcomes o
            join service.predictions p using (prediction_id, account_id)
            cross join lateral (select {_PICKUP_INSTANT} as pickup) instant
            left join service.accounts a using (account_id)
            left join warehouse.zones pickup on pickup.zone = p.pickup_zone
            left join warehouse.zones dropoff on dropoff.zone = p.dropoff_zone
    ) evaluated
"""

# Names and types of the columns of 0003, in their order; new ones come after them.
OUTCOMES = """
    select prediction_id, predicted_at, reported_at, model_version, fleet, pickup_zone, dropoff_zone, pickup_at,
           distance_miles, predicted_minutes, low_minutes, high_minutes, level, real_minutes,
           predicted_minutes - real_minutes as error_minutes,
           real_minutes between low_minutes and high_minutes as in_interval,
           plausible, implausible_reason, vouched, counted
    from service.evaluated_outcomes
"""
LIVE_ERROR = """
    select model_version, fleet, pickup_at::date as day, extract(hour from pickup_at)::smallint as hour,
           count(*) as outcomes, avg(abs(predicted_minutes - real_minutes)) as mae,
           avg(predicted_minutes - real_minutes) as bias,
           avg((real_minutes between low_minutes and high_minutes)::int) as coverage,
           avg(level) as level,
           percentile_cont(0.5) within group (order by abs(predicted_minutes - real_minutes)) as median_error
    from service.evaluated_outcomes
    where counted
    group by 1, 2, 3, 4
"""
COMMENTS = {
    "view analytics.outcomes": "Predictions whose real duration was reported: features, answer, error, and whether the"
    " outcome counts. By whom is not here.",
    "column analytics.outcomes.plausible": "Whether the real duration can be true.",
    "column analytics.outcomes.implausible_reason": "too_short, too_long, impossible_speed,"
    " pickup_long_before_prediction or reported_before_end; null where plausible.",
    "column analytics.outcomes.vouched": "Whether an admin vouches for the account that reported it.",
    "column analytics.outcomes.counted": "Plausible and vouched: counts for live error and retraining.",
    "view analytics.live_error": "Error of live predictions by model version, fleet, day and hour of the pickup, from"
    " the reported outcomes that count.",
    "column analytics.live_error.median_error": "Median absolute error in minutes; few wrong reports do not move it.",
}

OUTCOMES_0003 = """
    select p.prediction_id, p.at as predicted_at, o.reported_at, p.model_version, p.fleet, p.pickup_zone,
           p.dropoff_zone, p.pickup_at, p.distance_miles, p.duration_minutes as predicted_minutes,
           p.low_minutes, p.high_minutes, p.level, o.duration_minutes as real_minutes,
           p.duration_minutes - o.duration_minutes as error_minutes,
           o.duration_minutes between p.low_minutes and p.high_minutes as in_interval
    from service.outcomes o join service.predictions p using (prediction_id, account_id)
"""
LIVE_ERROR_0003 = """
    select p.model_version, p.fleet, p.pickup_at::date as day, extract(hour from p.pickup_at)::smallint as hour,
           count(*) as outcomes, avg(abs(p.duration_minutes - o.duration_minutes)) as mae,
           avg(p.duration_minutes - o.duration_minutes) as bias,
           avg((o.duration_minutes between p.low_minutes and p.high_minutes)::int) as coverage,
           avg(p.level) as level
    from service.outcomes o join service.predictions p using (prediction_id, account_id)
    group by 1, 2, 3, 4
"""


def upgrade() -> None:
    op.execute(
        """
        create table service.usage (
            account_id bigint not null,
            day date not null,  -- UTC
            predictions bigint not null default 0,
            outcomes bigint not null default 0,
            primary key (account_id, day)
        );
        create index usage_day on service.usage (day);
        """
    )
    op.execute(f"create view service.evaluated_outcomes as {EVALUATED_OUTCOMES}")
    op.execute(f"create or replace view analytics.outcomes as {OUTCOMES}")
    op.execute(f"create or replace view analytics.live_error as {LIVE_ERROR}")
    for target, comment in COMMENTS.items():
        op.execute(f"comment on {target} is '{comment}'")


def downgrade() -> None:
    op.execute("drop view analytics.live_error, analytics.outcomes")
    op.execute(f"create view analytics.outcomes as {OUTCOMES_0003}")
    op.execute(f"create view analytics.live_error as {LIVE_ERROR_0003}")
    op.execute("drop view service.evaluated_outcomes")
    op.execute("drop table service.usage")
