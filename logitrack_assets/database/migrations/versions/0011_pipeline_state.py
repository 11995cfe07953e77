"""Create the tables with the state of the pipeline, which a sensor fills and the service reads."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create table warehouse.pipeline_months (
            month text not null,
            fleet text not null,
            published boolean,
            failure text,
            run_id text,
            primary key (month, fleet)
        );
        create table warehouse.pipeline_runs (
            run_id text primary key,
            job text not null,
            status text not null,
            first_month text,
            last_month text,
            reason text,
            problem text,
            created_at timestamptz not null,
            started_at timestamptz,
            ended_at timestamptz
        );
        create table warehouse.pipeline_health (
            part text primary key,
            status text not null,
            fact text not null,
            hint text,
            checked_at timestamptz not null
        );
        """
    )


def downgrade() -> None:
    op.execute("drop table warehouse.pipeline_months, warehouse.pipeline_runs, warehouse.pipeline_health")
