"""Prepare accounts for administration: normal forms of usernames, known networks, inactive sessions, vouched accounts.

Accounts whose names lie outside the alphabet of usernames keep their names; only exactly that spelling finds them.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        r"""
        alter table service.accounts
            add column normalized_username text,
            add column vouched boolean not null default false,  -- an admin answers for what it reports
            add column disabled_at timestamptz;
        -- The collation "C" changes the case of ASCII letters only, as the service does. Within the alphabet this is
        -- the uniqueness that existed; outside it, names keep their case and hence stay different from all others.
        update service.accounts set normalized_username = case
            when username collate "C" ~ '^[A-Za-z0-9][A-Za-z0-9._@+-]*$' then lower(username collate "C")
            else username
        end;
        alter table service.accounts alter column normalized_username set not null;
        create unique index accounts_normalized_username on service.accounts (normalized_username);
        drop index service.accounts_username;

        -- Sessions outlive a deleted account until their access tokens have expired: workers refuse those tokens.
        alter table service.sessions
            add column last_used_at timestamptz not null default now(),
            add column network text,
            alter column account_id drop not null,
            drop constraint sessions_account_id_fkey,
            add constraint sessions_account_id_fkey
                foreign key (account_id) references service.accounts on delete set null;

        -- Networks from which an account has logged in; attempts from elsewhere do not throttle these.
        create table service.known_networks (
            account_id bigint not null references service.accounts on delete cascade,
            network text not null,
            last_login_at timestamptz not null default now(),
            primary key (account_id, network)
        );
        create index throttle_last_at on service.throttle (last_at);  -- counts are deleted when they expire
        """
    )


def downgrade() -> None:
    op.execute(
        """
        drop index service.throttle_last_at;
        drop table service.known_networks;
        delete from service.sessions where account_id is null;
        alter table service.sessions
            drop column last_used_at,
            drop column network,
            alter column account_id set not null,
            drop constraint sessions_account_id_fkey,
            add constraint sessions_account_id_fkey
                foreign key (account_id) references service.accounts on delete cascade;
        create unique index accounts_username on service.accounts (lower(username));
        alter table service.accounts
            drop column normalized_username,
            drop column vouched,
            drop column disabled_at;
        """
    )
