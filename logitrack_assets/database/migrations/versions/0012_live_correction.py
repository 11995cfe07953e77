"""Live correction: the order in which outcomes are learned, states of models, and what each answer was made of.

`outcomes.live_position` is null until an outcome has been looked at, 0 where it does not count, and else its place in
the sequence that every worker learns. Positions are given under a lock, so they become visible in their order.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        alter table service.predictions add column base_minutes real;
        alter table service.predictions add column live_position bigint;

        alter table service.outcomes add column live_position bigint default 0;  -- earlier outcomes are not learned
        alter table service.outcomes alter column live_position drop default;
        create unique index outcomes_live_position on service.outcomes (live_position) where live_position > 0;
        create index outcomes_live_pending on service.outcomes (reported_at) where live_position is null;
        create sequence service.live_positions;

        create table service.live_states (
            model_version text not null,
            format smallint not null,
            position bigint not null,  -- of the last outcome that the state has learned
            state bytea not null,
            summary jsonb not null,
            created_at timestamptz not null default now(),
            primary key (model_version, format, position)
        );
        create index live_states_created on service.live_states (created_at);

        create view service.live_outcomes as
        select o.live_position, o.account_id, p.fleet, p.pickup_zone, p.dropoff_zone, p.pickup_at, p.distance_miles,
               o.duration_minutes as real_minutes, p.model_version, p.duration_minutes as answered_minutes,
               p.base_minutes, o.reported_at,
               least(
                   -- Of the two moments of a doubled hour the earlier one; PostgreSQL takes the later one.
                   least(
                       p.pickup_at at time zone 'America/New_York',
                       (p.pickup_at - interval '1 hour') at time zone 'America/New_York' + interval '1 hour'
                   ) + make_interval(secs => o.duration_minutes * 60.0),
                   o.reported_at
               ) as ended_at
        from service.outcomes o join service.predictions p using (prediction_id, account_id)
        where o.live_position > 0;
        comment on view service.live_outcomes is 'Outcomes that count, in the order in which they are learned.';

        create view analytics.champions as
        select detail ->> 'version' as model_version, (detail ->> 'promoted_at')::timestamptz as since,
               lead((detail ->> 'promoted_at')::timestamptz) over (order by (detail ->> 'promoted_at')::timestamptz)
                   as until,
               detail ->> 'by' as promoted_by, detail ->> 'reason' as reason
        from service.audit_events where event = 'model_promoted';
        comment on view analytics.champions is 'Which model version was served when.';
        comment on column analytics.champions.since is 'When it became champion; workers load it within seconds.';
        comment on column analytics.champions.until is 'When another version followed; null for the present one.';
        """
    )


def downgrade() -> None:
    op.execute(
        """
        drop view analytics.champions, service.live_outcomes;
        drop table service.live_states;
        drop sequence service.live_positions;
        alter table service.outcomes drop column live_position;
        alter table service.predictions drop column base_minutes, drop column live_position;
        """
    )
