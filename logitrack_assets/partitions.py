"""The month is the partition of everything that is made of trips."""

from __future__ import annotations

from dagster import MonthlyPartitionsDefinition

MONTHS = MonthlyPartitionsDefinition(start_date="2011-01", fmt="%Y-%m")
"""One partition a calendar month, keyed `YYYY-MM`, from 2011 on: the first year in which all fleets had zones."""
