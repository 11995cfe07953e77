"""compose.yaml and the images: each container has the privileges, secrets, networks and memory that it needs, no more.

These are claims about the files. docs/operations.md says how the stack is started and looked at.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from logitrack_assets.database.roles import ANALYST_ROLE, ASSETS_ROLE, SERVICE_ROLE
from logitrack_assets.settings import INTERNAL_VARIABLES, RoleSettings, Settings
from logitrack_service.settings import ServiceSettings
from logitrack_tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (REPOSITORY / "deploy" / "Dockerfile").read_text()
CADDYFILE = (REPOSITORY / "deploy" / "Caddyfile").read_text()

ONE_SHOT = "migrate"
ASSETS = {"code", "runs", "dagster", "dagster-admin", "daemon"}
OURS = {ONE_SHOT, "service", *ASSETS}
SECRETS = {
    "POSTGRES_PASSWORD": {"postgres", ONE_SHOT},
    "LOGITRACK_SERVICE_DATABASE_PASSWORD": {ONE_SHOT, "service"},
    "LOGITRACK_ASSETS_DATABASE_PASSWORD": {ONE_SHOT, *ASSETS},
    "LOGITRACK_ANALYST_DATABASE_PASSWORD": {ONE_SHOT, "service"},
    "LOGITRACK_SECRET_KEY": {"service"},
    "LOGITRACK_SECRET_KEYS_PREVIOUS": {"service"},
    "LOGITRACK_REGISTRY_KEY": {"runs", "service"},
}
"""Each secret and the containers that receive it."""


def _sources(name: str) -> set[str]:
    """Return the variables of the operator's environment that a container receives a value from."""
    values = SERVICES[name].get("environment", {}).values()
    return set(re.findall(r"\$\{(\w+)", " ".join(map(str, values))))


def _mounts(name: str) -> dict[str, str]:
    """Return the volumes of a container: source to the rest of the entry."""
    return dict(volume.split(":", 1) for volume in SERVICES[name].get("volumes", []))


def test_services() -> None:
    assert set(SERVICES) == {"postgres", "proxy"} | OURS


@pytest.mark.parametrize("name", SERVICES)
def test_container_has_no_privilege_and_bounded_resources(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service["init"] is True
    assert service["mem_limit"]
    assert service["pids_limit"] <= 2048
    assert service["stop_grace_period"].endswith("s")
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert not {"privileged", "network_mode", "pid", "ipc", "devices"} & service.keys()
    assert "docker.sock" not in str(service)
    writable = [mount.split(":")[0] for mount in service["tmpfs"]]
    assert writable == (["/tmp", "/var/run/postgresql"] if name == "postgres" else ["/tmp"])


@pytest.mark.parametrize(("secret", "receivers"), SECRETS.items())
def test_secret_reaches_only_those_that_need_it(secret: str, receivers: set[str]) -> None:
    assert {name for name in SERVICES if secret in _sources(name)} == receivers


def test_required_secrets_have_no_default() -> None:
    for variable in SECRETS.keys() - {"LOGITRACK_SECRET_KEYS_PREVIOUS"}:
        uses = re.findall(r"\$\{" + variable + r"\b([^}]*)\}", TEXT)
        assert uses
        assert all(use.startswith(":?") for use in uses), f"{variable} must be required, not defaulted"


def test_passwords_are_never_part_of_an_address() -> None:
    """A password with `@`, `/` or `%` would have to be percent-encoded there."""
    assert re.findall(r"://[^\s/@]*:[^\s/]*@", TEXT) == []


@pytest.mark.parametrize("name", sorted(OURS))
def test_login_is_the_role_of_the_container(name: str) -> None:
    role = {"service": SERVICE_ROLE, ONE_SHOT: "postgres"}.get(name, ASSETS_ROLE)
    environment = SERVICES[name]["environment"]
    assert environment["LOGITRACK_DATABASE_URL"] == f"postgresql://{role}@postgres/logitrack"
    analyst = environment.get("LOGITRACK_ANALYST_DATABASE_URL")
    assert analyst == (f"postgresql://{ANALYST_ROLE}@postgres/logitrack" if name == "service" else None)


def test_every_variable_is_a_setting() -> None:
    kinds = (Settings, ServiceSettings, RoleSettings)
    known = {f"LOGITRACK_{name.upper()}" for kind in kinds for name in kind.model_fields} | INTERNAL_VARIABLES
    given = {key for name in SERVICES for key in SERVICES[name].get("environment", {}) if key.startswith("LOGITRACK_")}
    given |= set(re.findall(r"\b(LOGITRACK_\w+)=", DOCKERFILE))
    assert given
    assert given <= known


def test_only_the_proxy_can_be_published_beyond_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "proxy": ["${PUBLISH_ADDRESS:-127.0.0.1}:443:8443", "${PUBLISH_ADDRESS:-127.0.0.1}:80:8080"],
        "dagster": ["127.0.0.1:3000:3000"],
        "dagster-admin": ["127.0.0.1:3001:3000"],
    }
    for name in ("dagster", "dagster-admin"):
        assert SERVICES[name]["command"][:3] == ["python", "-m", "logitrack_assets.webserver"], "the guarded UI"
    assert "--read-only" in SERVICES["dagster"]["command"]
    assert "--read-only" not in SERVICES["dagster-admin"]["command"]


def test_networks_separate_the_public_side_from_the_data() -> None:
    members: dict[str, set[str]] = {name: set() for name in COMPOSE["networks"]}
    for name, service in SERVICES.items():
        for network in service["networks"]:
            members[network].add(name)
    assert members == {
        "outside": {"proxy", "runs", "dagster", "dagster-admin"},
        "web": {"proxy", "service"},
        "service-data": {"postgres", ONE_SHOT, "service"},
        "assets-data": {"postgres", *ASSETS},
        "dagster": ASSETS,
    }
    assert {name for name, network in COMPOSE["networks"].items() if network.get("internal")} == {
        "web",
        "service-data",
        "assets-data",
        "dagster",
    }


def test_service_trusts_the_proxy_by_its_fixed_address() -> None:
    address = SERVICES["proxy"]["networks"]["web"]["ipv4_address"]
    trusted = SERVICES["service"]["environment"]["LOGITRACK_TRUSTED_PROXIES"]
    assert trusted == f"${{LOGITRACK_TRUSTED_PROXIES:-{address}}}"
    # Without a range of their own, other containers can be given the proxy's address before it starts.
    assert "ip_range" in COMPOSE["networks"]["web"]["ipam"]["config"][0]


def test_only_runs_can_write_the_lake_and_the_models() -> None:
    writers = {name for name in SERVICES for mount in _mounts(name).items() if _is_writable_state(*mount)}
    assert writers == {"runs"}
    assert _mounts("service") == {"models": "/var/lib/logitrack/models:ro"}


def _is_writable_state(source: str, target: str) -> bool:
    return source in ("home", "models") and not target.endswith(":ro")


def test_a_backend_of_postgresql_cannot_use_up_the_memory_of_the_container() -> None:
    postgres = SERVICES["postgres"]
    assert postgres["user"] == "999:999"
    assert postgres["ulimits"] == {"data": 512 * 1024**2}
    assert postgres["mem_limit"] == "2g"
    assert postgres["shm_size"] == "256m"


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {ONE_SHOT}))
def test_container_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_dependencies_exist_and_are_awaited(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if other == ONE_SHOT else "service_healthy"
        assert how["condition"] == expected
        assert other in SERVICES


def test_only_the_migration_ends_by_itself() -> None:
    assert {name for name, service in SERVICES.items() if service["restart"] == "no"} == {ONE_SHOT}


def test_runs_are_no_children_of_the_web_uis_code_server() -> None:
    """The daemon launches runs in its own code server, so that reloading the other one ends no run."""
    hosts = {name: SERVICES[name]["environment"]["DAGSTER_CODE_HOST"] for name in ASSETS}
    assert hosts.pop("daemon") == "runs"
    assert set(hosts.values()) == {"code"}
    workspace = yaml.safe_load((REPOSITORY / "deploy" / "workspace.yaml").read_text())
    [server] = [location["grpc_server"] for location in workspace["load_from"]]
    assert server == {"host": {"env": "DAGSTER_CODE_HOST"}, "port": 4000, "location_name": "logitrack"}


def test_commands_exist() -> None:
    programs = Path(sys.executable).parent
    for name in OURS - {"service"}:
        program, *arguments = SERVICES[name]["command"]
        if program == "sh":
            continue
        assert shutil.which(program, path=str(programs)), program
        if "--module-name" in arguments:
            assert importlib.util.find_spec(arguments[arguments.index("--module-name") + 1])
    [module] = re.findall(r'^CMD \["python", "-m", "(\w+)"\]$', DOCKERFILE, flags=re.MULTILINE)
    assert importlib.util.find_spec(f"{module}.__main__")


def test_runs_that_ended_with_their_container_are_failed_before_the_next_one_accepts_work() -> None:
    shell, option, script = SERVICES["runs"]["command"]
    assert (shell, option) == ("sh", "-c")
    first, then = script.split(" && exec ")
    assert importlib.util.find_spec(first.removeprefix("python -m "))
    served = "--host 0.0.0.0 --port 4000 --module-name logitrack_assets.definitions"
    assert then == f"dagster api grpc {served} --location-name logitrack", "a server that never forgets its runs"


def test_each_container_uses_the_image_of_its_side() -> None:
    for name in OURS:
        target = "assets" if name in ASSETS else "service"
        assert SERVICES[name]["image"] == f"logitrack-{target}"
        assert SERVICES[name]["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile", "target": target}


def _stages() -> dict[str, str]:
    """Return the stages of the Dockerfile: name to instructions."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_images_run_without_root_on_a_base_that_can_be_pinned() -> None:
    stages = _stages()
    assert "ARG PYTHON_IMAGE=python:3.11-slim-bookworm" in DOCKERFILE
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)) == {"${PYTHON_IMAGE}", "runtime"}
    for name in ("service", "assets"):
        assert re.findall(r"^USER (.+)$", stages[name], flags=re.MULTILINE) == ["10001:10001"]
        assert "org.opencontainers.image.title" in stages[name]
        assert "org.opencontainers.image.revision" in stages[name]


def test_service_image_has_neither_java_nor_the_packages_of_the_assets() -> None:
    stages = _stages()
    assert "requirements/service.txt" in stages["service-packages"]
    assert "run.txt" not in stages["service-packages"] + stages["service"]
    assert "jre" not in stages["runtime"] + stages["service-packages"] + stages["service"]
    assert "jre" in stages["assets"]


def test_dagster_home_is_part_of_the_image() -> None:
    """So nothing writes it at start, and a health check run by `exec` finds the instance."""
    assert "DAGSTER_HOME=/etc/logitrack/dagster" in _stages()["assets"]
    assert "ENTRYPOINT" not in DOCKERFILE


def test_copied_files_exist_and_are_in_the_build_context() -> None:
    rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
    allowed = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    assert rules[1] == "*", "everything is left out first"
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, flags=re.MULTILINE):
        for source in line.split()[:-1]:
            assert (REPOSITORY / source).exists(), source
            assert any(fnmatch.fnmatch(source, pattern) for pattern in allowed), source


def test_proxy_has_tls_limits_and_hides_the_metrics() -> None:
    for line in (
        'Strict-Transport-Security "max-age=31536000; includeSubDomains"',
        "respond /metrics 404",
        "max_header_size 32KB",
        "max_size 4MB",
        "read_header 10s",
        "read_body 20s",
        "idle 60s",
        "admin off",
    ):
        assert line in CADDYFILE, line
    assert "http://{$SITE_ADDRESS" not in CADDYFILE
    ports = {int(port.rsplit(":", 1)[1]) for port in SERVICES["proxy"]["ports"]}
    assert ports == {int(port) for port in re.findall(r"https?_port (\d+)", CADDYFILE)}
