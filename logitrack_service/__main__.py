"""`python -m logitrack_service`: run the service with its workers, limits and logs."""

from __future__ import annotations

import resource
import signal
import sys

import uvicorn

from logitrack_assets.database import database_url, wait_for_database
from logitrack_assets.errors import LogitrackError
from logitrack_assets.home import require_home
from logitrack_assets.settings import RoleSettings, Settings, get_settings, require_known_variables
from logitrack_service.analytics.analyst_role import analyst_login
from logitrack_service.auth.keys import load_keys
from logitrack_service.database_initializer import prepare_database
from logitrack_service.observability.logs import configure_logs
from logitrack_service.observability.metrics import remove_stale_metric_dirs
from logitrack_service.settings import ServiceSettings, get_service_settings

SHUTDOWN_TIMEOUT_SECONDS = 20  # for requests in flight
KEEP_ALIVE_TIMEOUT_SECONDS = 30
MAX_OPEN_FILES = 65_536


def run_service() -> int:
    """Prepare the database and serve until SIGTERM or SIGINT.

    Returns:
        The exit code of the process.
    """
    try:
        require_known_variables([Settings, ServiceSettings, RoleSettings])
        settings, service_settings = get_settings(), get_service_settings()
        configure_logs(service_settings.log_level)
        if settings.embedded:
            require_home(settings.home)
        keys = load_keys(settings, service_settings)
        url = database_url(settings)
        wait_for_database(url)
        prepare_database(url, analyst_login(url, keys, service_settings), service_settings)
    except LogitrackError as error:
        print(error, file=sys.stderr)
        return 1
    remove_stale_metric_dirs(settings.home)
    _raise_file_limit()
    # uvicorn re-raises the signal after the last response; exiting normally stops the embedded PostgreSQL.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        "logitrack_service.app:create_app",
        factory=True,
        host=settings.service_host,
        port=settings.service_port,
        workers=service_settings.service_workers,
        log_config=None,
        http="logitrack_service.app:create_protocol",  # type: ignore[arg-type]  # uvicorn imports any name
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=bool(service_settings.trusted_proxies),
        forwarded_allow_ips=list(service_settings.trusted_proxies),
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_TIMEOUT_SECONDS,
        limit_concurrency=None,  # beyond it uvicorn answers every request with 503; ConnectionLimits closes idle ones
    )
    return 0


def _raise_file_limit() -> None:
    """Raise the soft limit on open files: its usual value of 1,024 leaves no room beside `max_connections`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    raise SystemExit(run_service())
