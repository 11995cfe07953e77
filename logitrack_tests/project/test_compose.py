"""compose.yaml: whole, healthy by its own checks, and without a secret in it."""

from __future__ import annotations

import importlib.util
import re
import shutil
from pathlib import Path

import pytest
import yaml

from logitrack_assets.settings import Settings
from logitrack_tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict] = COMPOSE["services"]


def test_the_services_of_the_house() -> None:
    assert set(SERVICES) == {"postgres", "code", "dagster", "dagster-admin", "daemon", "service"}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_can_tell_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_waits_for_healthy_services_that_exist(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] == "service_healthy"


def test_secrets_have_no_default() -> None:
    for variable in ("POSTGRES_PASSWORD", "LOGITRACK_SECRET_KEY"):
        uses = re.findall(r"\$\{" + variable + r"([^}]*)\}", TEXT)
        assert uses
        assert all(use.startswith(":?") for use in uses), f"{variable} must be demanded, not defaulted"


def test_every_setting_it_gives_exists() -> None:
    known = {f"LOGITRACK_{name.upper()}" for name in Settings.model_fields}
    given = {key for service in SERVICES.values() for key in service["environment"] if key.startswith("LOGITRACK_")}
    assert given
    assert given <= known


def test_the_public_dagster_cannot_write_and_the_writing_one_is_on_loopback() -> None:
    assert "--read-only" in SERVICES["dagster"]["command"]
    assert "--read-only" not in SERVICES["dagster-admin"]["command"]
    assert SERVICES["dagster-admin"]["ports"] == ["127.0.0.1:3001:3000"]


def test_every_command_is_one_that_the_image_has() -> None:
    for name in set(SERVICES) - {"postgres"}:
        program, *arguments = SERVICES[name]["command"]
        assert shutil.which(program, path=str(REPOSITORY / ".venv" / "bin")), program
        if "--module-name" in arguments:
            assert importlib.util.find_spec(arguments[arguments.index("--module-name") + 1])
        if program == "python":
            assert importlib.util.find_spec(f"{arguments[1]}.__main__")


def test_what_the_image_copies_is_there() -> None:
    build = SERVICES["service"]["build"]
    dockerfile = Path(REPOSITORY / build["dockerfile"]).read_text()
    for line in re.findall(r"^COPY (.+)$", dockerfile, flags=re.MULTILINE):
        for source in line.split()[:-1]:
            assert (REPOSITORY / source).exists(), source
