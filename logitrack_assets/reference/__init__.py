"""Reference data: taxi zones and fleets."""
