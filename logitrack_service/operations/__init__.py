"""What keeps the service honest at night: health, metrics, logs, errors in one shape."""
