"""Order promotions of the same second by their entries in the audit table: promotion times are whole seconds."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

CHAMPIONS = """
    create or replace view analytics.champions as
    select detail ->> 'version' as model_version, (detail ->> 'promoted_at')::timestamptz as since,
           lead((detail ->> 'promoted_at')::timestamptz) over (order by {order}) as until,
           detail ->> 'by' as promoted_by, detail ->> 'reason' as reason
    from service.audit_events where event = 'model_promoted'
"""
TIME = "(detail ->> 'promoted_at')::timestamptz"


def upgrade() -> None:
    op.execute(CHAMPIONS.format(order=f"{TIME}, event_id"))


def downgrade() -> None:
    op.execute(CHAMPIONS.format(order=TIME))
