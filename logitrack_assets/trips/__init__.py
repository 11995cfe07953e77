"""Trips: source files, ingestion, schemas, cleaning rules, rollups, assets and checks."""
