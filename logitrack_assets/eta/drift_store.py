"""Drift measurements in PostgreSQL (`warehouse.eta_drift`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from logitrack_assets.eta.drift import DriftMeasurement


class DriftedMonth(NamedTuple):
    """A month in which at least one measure drifted.

    Attributes:
        month: `YYYY-MM`.
        measures: Names of the measures, sorted.
        by_fleet: The same with their fleets, `yellow psi hour`.
    """

    month: str
    measures: list[str]
    by_fleet: list[str]


def write_measurements(
    connection: psycopg.Connection[Any], month: str, version: str, measurements: Sequence[DriftMeasurement]
) -> None:
    """Replace the measurements of a month for a model version; the caller's transaction makes it atomic."""
    with connection.cursor() as cursor:
        cursor.execute("delete from warehouse.eta_drift where month = %s and model_version = %s", (month, version))
        cursor.executemany(
            "insert into warehouse.eta_drift (month, fleet, model_version, measure, value, threshold, drifted) "
            "values (%s, %s, %s, %s, %s, %s, %s)",
            [(month, m.fleet, version, m.measure, m.value, m.threshold, m.drifted) for m in measurements],
        )


def read_drifted_months(connection: psycopg.Connection[Any], version: str, *, after: str = "") -> list[DriftedMonth]:
    """Return the months that drifted from what a model version was trained on, sorted.

    Args:
        connection: To the warehouse.
        version: The model version that the months were compared with.
        after: `YYYY-MM`; only later months are returned. The default returns all.
    """
    rows = connection.execute(
        "select month, array_agg(distinct measure order by measure), "
        "array_agg(fleet || ' ' || measure order by fleet, measure) from warehouse.eta_drift "
        "where model_version = %s and drifted and month > %s group by month order by month",
        (version, after),
    ).fetchall()
    return [DriftedMonth(*row) for row in rows]
