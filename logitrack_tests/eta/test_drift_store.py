"""Drift measurements are replaced by month and version, and read by month."""

from __future__ import annotations

from logitrack_assets.eta.drift import DriftMeasurement
from logitrack_assets.eta.drift_store import DriftedMonth, read_drifted_months, write_measurements
from logitrack_assets.warehouse import Warehouse

VERSION = "20200201T000000-abcdef"


def _measurement(measure: str, *, drifted: bool, fleet: str = "yellow") -> DriftMeasurement:
    return DriftMeasurement(fleet, measure, 0.5, 0.1, drifted=drifted)


def test_drifted_months_are_sorted_with_their_measures(database_url: str) -> None:
    with Warehouse(database_url).connect() as connection:
        write_measurements(connection, "2020-04", VERSION, [_measurement("psi hour", drifted=True)])
        both = [_measurement("volume ratio", drifted=True, fleet=fleet) for fleet in ("yellow", "green")]
        calm = _measurement("error ratio", drifted=False)
        write_measurements(connection, "2020-03", VERSION, [*both, calm])
        write_measurements(connection, "2020-02", VERSION, [calm])
        write_measurements(connection, "2020-05", "another", both)
        march = DriftedMonth("2020-03", ["volume ratio"], ["green volume ratio", "yellow volume ratio"])
        april = DriftedMonth("2020-04", ["psi hour"], ["yellow psi hour"])
        assert read_drifted_months(connection, VERSION) == [march, april]
        assert read_drifted_months(connection, VERSION, after="2020-03") == [april]


def test_writing_replaces_the_measurements_of_a_month(database_url: str) -> None:
    with Warehouse(database_url).connect() as connection:
        write_measurements(connection, "2020-03", VERSION, [_measurement("psi hour", drifted=True)])
        write_measurements(connection, "2020-03", VERSION, [_measurement("psi hour", drifted=False)])
        assert read_drifted_months(connection, VERSION) == []
