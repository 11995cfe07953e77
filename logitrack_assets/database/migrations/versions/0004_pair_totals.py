"""Cover totals of zone pairs by an index: the rows are wide with their sketches, an index-only scan avoids them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "create index trip_stats_pair_totals on warehouse.trip_stats_pair (pickup_zone, dropoff_zone, month, fleet) "
        "include (trips, duration_sum)"
    )
    op.execute("drop index warehouse.trip_stats_pair_zones")


def downgrade() -> None:
    op.execute("create index trip_stats_pair_zones on warehouse.trip_stats_pair (pickup_zone, dropoff_zone)")
    op.execute("drop index warehouse.trip_stats_pair_totals")
