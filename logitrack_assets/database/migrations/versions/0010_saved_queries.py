"""Create the table of queries that analysts save under a name."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create table service.saved_queries (
            account_id bigint not null references service.accounts on delete cascade,
            name text not null,
            sql text not null,
            updated_at timestamptz not null default now(),
            primary key (account_id, name)
        );
        """
    )


def downgrade() -> None:
    op.execute("drop table service.saved_queries")
