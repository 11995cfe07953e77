"""Requirements of the machine: each returns what it found or raises an error with a hint."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import httpx2

from logitrack_assets import sample
from logitrack_assets.errors import LogitrackError
from logitrack_assets.settings import Settings
from logitrack_assets.trips.source import Source, file_name

MIN_JAVA_VERSION = 17  # of Spark 4
MIN_FREE_DISK_BYTES = 2 * 2**30
SERVER_TIMEOUT_SECONDS = 5
_JAVA_HINT = (
    f"Install Java {MIN_JAVA_VERSION} or newer (Debian: apt-get install openjdk-17-jre-headless) or set JAVA_HOME."
)


def require_java() -> str:
    """Return path and version of the Java that Spark will start.

    Raises:
        LogitrackError: There is none, or it is too old.
    """
    java = _java_path()
    try:
        output = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LogitrackError(f"{java} does not run ({error}).", hint=_JAVA_HINT) from None
    version = re.search(r'version "(?:1\.)?(\d+)[^"]*"', output)
    if version is None or int(version[1]) < MIN_JAVA_VERSION:
        found = version[0] if version else f"unknown: {output.strip()[:80]}"
        raise LogitrackError(f"Spark needs Java {MIN_JAVA_VERSION} or newer, {java} is {found}.", hint=_JAVA_HINT)
    return f"{java}, {version[0]}"


def _java_path() -> str:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if java is None or not Path(java).exists():
        reason = f"JAVA_HOME={home} has no bin/java" if home else "no java on the PATH"
        raise LogitrackError(f"Spark needs Java, and there is none ({reason}).", hint=_JAVA_HINT)
    return java


def require_disk(folder: Path, min_free_bytes: int = MIN_FREE_DISK_BYTES) -> str:
    """Return the free space at a folder that does not need to exist yet.

    Raises:
        LogitrackError: There is too little, or the folder cannot be written.
    """
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not os.access(place, os.W_OK):
        raise LogitrackError(f"{place} is not writable.", hint="Set LOGITRACK_HOME to a writable folder.")
    free = shutil.disk_usage(place).free
    if free < min_free_bytes:
        raise LogitrackError(
            f"{free / 2**30:.1f} GiB are free at {place}, {min_free_bytes / 2**30:.0f} are needed.",
            hint="Free some space, or set LOGITRACK_HOME to another disk.",
        )
    return f"{free / 2**30:.0f} GiB free at {place}"


def require_free_port(host: str, port: int, setting: str) -> None:
    """Return when a server can listen on an address.

    Args:
        host: Address or name of this machine.
        port: TCP port.
        setting: Variable that sets the port, for the hint.

    Raises:
        LogitrackError: Another process listens there, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LogitrackError(
                f"Port {port} on {host} cannot be used ({error.strerror}).",
                hint=f"Free it, or set {setting} to another port.",
            ) from None


def stack_source_url(settings: Settings) -> str:
    """Return where `up` and `demo` take trip files from: the setting, or the packaged sample."""
    return settings.tlc_url or str(sample.folder())


def require_source(settings: Settings) -> str:
    """Return where `up` takes trip files from, once it answers.

    Raises:
        LogitrackError: The folder does not exist, it has no file of the fleets, or the server does not answer.
    """
    source = Source(stack_source_url(settings))
    if source.folder is None:
        return _require_server(source.base)
    trips = source.folder / "trip-data"
    if not trips.is_dir():
        raise LogitrackError(
            f"{source.folder} has no folder trip-data.", hint="Set LOGITRACK_TLC_URL to a folder laid out as the TLC's."
        )
    files = sum(len(list(trips.glob(file_name(fleet, "*")))) for fleet in settings.fleets)
    if not files:
        raise LogitrackError(
            f"{trips} has no file of {' or '.join(settings.fleets)}, for example "
            f"{file_name(settings.fleets[0], '2019-01')}.",
            hint="Set LOGITRACK_TLC_URL to another folder, or LOGITRACK_FLEETS to the fleets that it has.",
        )
    return f"{files} files in {source.folder}{'' if settings.tlc_url else ', the packaged sample'}"


def _require_server(url: str) -> str:
    try:
        httpx2.head(url, timeout=SERVER_TIMEOUT_SECONDS, follow_redirects=True)
    except httpx2.HTTPError as error:
        raise LogitrackError(
            f"{url} does not answer ({error or type(error).__name__}).",
            hint="Check the network, or set LOGITRACK_TLC_URL to a mirror or a folder; `make demo` needs neither.",
        ) from None
    return f"{url} answers"
