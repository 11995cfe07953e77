"""Make promotion events unique: one audit event per promotion, however many workers record it."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "create unique index audit_events_promotions on service.audit_events "
        "((detail ->> 'promoted_at'), (detail ->> 'version')) where event = 'model_promoted'"
    )


def downgrade() -> None:
    op.execute("drop index service.audit_events_promotions")
