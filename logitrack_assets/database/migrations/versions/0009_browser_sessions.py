"""Add the cookie of browsers' sessions; its digest is stored, as those of refresh tokens are."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        alter table service.sessions add column cookie_digest bytea;  -- SHA-256; null for sessions of programs
        create unique index sessions_cookie on service.sessions (cookie_digest);
        """
    )


def downgrade() -> None:
    op.execute("alter table service.sessions drop column cookie_digest")
