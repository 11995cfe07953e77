"""Create the service's tables: accounts, sessions, throttling, audit events, predictions and outcomes."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create schema if not exists service")
    op.execute(
        """
        create table service.accounts (
            account_id bigint generated always as identity primary key,
            username text not null,
            password_hash text not null,
            role text not null default 'user' check (role in ('user', 'analyst', 'admin')),
            created_at timestamptz not null default now(),
            password_changed_at timestamptz not null default now()
        );
        create unique index accounts_username on service.accounts (lower(username));

        create table service.sessions (
            session_id uuid primary key,
            account_id bigint not null references service.accounts on delete cascade,
            created_at timestamptz not null default now(),
            expires_at timestamptz not null,
            revoked_at timestamptz,
            reason text
        );
        create index sessions_account on service.sessions (account_id);
        create index sessions_expires on service.sessions (expires_at);
        -- Every worker reads the sessions revoked within the lifetime of an access token: a few rows.
        create index sessions_revoked on service.sessions (revoked_at) where revoked_at is not null;

        create table service.refresh_tokens (
            digest bytea primary key,  -- SHA-256 of the token; the token itself is never stored
            session_id uuid not null references service.sessions on delete cascade,
            issued_at timestamptz not null default now(),
            used_at timestamptz
        );
        create index refresh_tokens_session on service.refresh_tokens (session_id);

        create table service.throttle (
            kind text not null,  -- what is counted: login_account, login_address, register_address
            subject text not null,
            attempts integer not null,
            last_at timestamptz not null,
            blocked_until timestamptz not null,
            primary key (kind, subject)
        );

        create table service.audit_events (
            event_id bigint generated always as identity primary key,
            at timestamptz not null default now(),
            event text not null,
            account_id bigint,
            username text,
            address text,
            request_id text,
            detail jsonb
        );
        create index audit_events_at on service.audit_events (at);

        create table service.predictions (
            prediction_id uuid primary key,
            at timestamptz not null,
            account_id bigint not null,
            model_version text not null,
            fleet text not null,
            pickup_zone smallint not null,
            dropoff_zone smallint not null,
            pickup_at timestamp not null,  -- New York wall clock
            distance_miles real,
            duration_minutes real not null,
            low_minutes real not null,
            high_minutes real not null,
            level real not null,
            support integer not null,
            extrapolating boolean not null
        );
        create index predictions_at on service.predictions (at);

        -- No foreign key: an outcome may arrive before the log of its prediction has been flushed. The account is part
        -- of the key, so no account can report the outcome of another account's prediction.
        create table service.outcomes (
            prediction_id uuid not null,
            account_id bigint not null,
            duration_minutes real not null,
            reported_at timestamptz not null default now(),
            primary key (prediction_id, account_id)
        );
        create index outcomes_reported on service.outcomes (reported_at);
        """
    )


def downgrade() -> None:
    op.execute("drop schema service cascade")
