"""Metrics of the platform, read from PostgreSQL at each scrape: one address to scrape for service and platform."""

from __future__ import annotations

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from logitrack_assets.database.tables import pipeline_health
from logitrack_service.observability import metrics

log = structlog.get_logger("logitrack.service")


async def update_platform_metrics(engine: AsyncEngine) -> None:
    """Set the metrics to the last report; without a database they keep their values, and the report's age shows it."""
    columns = pipeline_health.c
    try:
        async with engine.connect() as connection:
            rows = (await connection.execute(select(columns.part, columns.status, columns.checked_at))).all()
    except SQLAlchemyError as error:
        log.warning("platform_metrics_not_read", error=type(error).__name__)
        return
    for part, status, _ in rows:
        metrics.platform_part_ok.labels(part).set(status == "ok")
    metrics.platform_reported_at.set(max((row.checked_at.timestamp() for row in rows), default=0))
