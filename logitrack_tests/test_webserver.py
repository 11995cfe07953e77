"""Dagster's web UI, the real application: requests that other web pages can send are refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, job
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from logitrack_assets.settings import Settings
from logitrack_assets.webserver import GuardedWebserver, allowed_hosts, parse_arguments

QUERY = "{ version }"
DELETE = 'mutation { deletePipelineRun(runId: "%s") { __typename } }'
URL = "http://127.0.0.1:3000"


@job
def empty() -> None:
    pass


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterInstance]:
    with DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture(scope="module")
def client(instance: DagsterInstance) -> Iterator[TestClient]:
    settings = Settings(dagster_allowed_hosts="dagster.example.org")
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget(), version="1") as context:
        app = GuardedWebserver(context, settings).create_asgi_app()
        with TestClient(app, base_url=URL) as client:
            yield client


@pytest.fixture
def run_id(instance: DagsterInstance) -> str:
    return empty.execute_in_process(instance=instance).run_id


ATTACKS = {
    "mutation by GET": ("GET", {}, 405),
    "query by GET from a script of another page": ("GET", {"sec-fetch-site": "cross-site"}, 403),
    "followed link to a mutation": (
        "GET",
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
            "accept": "text/html",
        },
        403,
    ),
    "form": ("POST", {"content-type": "application/x-www-form-urlencoded"}, 415),
    "form without a type": ("POST", {}, 415),
    "text, which needs no preflight": ("POST", {"content-type": "text/plain"}, 415),
    "another origin": ("POST", {"content-type": "application/json", "origin": "https://evil.example"}, 403),
    "a sandboxed frame": ("POST", {"content-type": "application/json", "origin": "null"}, 403),
    "another port of this host": (
        "POST",
        {"content-type": "application/json", "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-site"},
        403,
    ),
    "cross-site without an origin": ("POST", {"content-type": "application/json", "sec-fetch-site": "cross-site"}, 403),
    "DNS rebinding": ("POST", {"content-type": "application/json", "host": "evil.example:3000"}, 421),
    "DNS rebinding with its own origin": (
        "POST",
        {"content-type": "application/json", "host": "evil.example:3000", "origin": "http://evil.example:3000"},
        421,
    ),
    "a name that contains an allowed one": (
        "POST",
        {"content-type": "application/json", "host": "127.0.0.1:3000@evil.example"},
        421,
    ),
}


@pytest.mark.parametrize(("method", "headers", "status"), ATTACKS.values(), ids=ATTACKS)
def test_attack_is_refused_and_the_run_stays(
    client: TestClient, instance: DagsterInstance, run_id: str, method: str, headers: dict[str, str], status: int
) -> None:
    mutation = DELETE % run_id
    body = {"json": {"query": mutation}} if headers.get("content-type") == "application/json" else {}
    response = client.request(method, "/graphql", params={"query": mutation}, headers=headers, **body)
    assert response.status_code == status, response.text
    assert instance.has_run(run_id)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:3000", "origin": "https://evil.example"},
        {"host": "evil.example"},
        {"host": "127.0.0.1:3000", "sec-fetch-site": "cross-site"},
    ],
    ids=["origin", "host", "site"],
)
def test_websocket_of_another_page_is_refused(client: TestClient, headers: dict[str, str]) -> None:
    refused = pytest.raises(WebSocketDisconnect)
    with refused, client.websocket_connect("/graphql", subprotocols=["graphql-ws"], headers=headers):
        pass


@pytest.mark.parametrize("path", ["/report_asset_materialization/silver_trips", "/report_asset_check/silver_trips"])
def test_reports_of_another_page_are_refused(client: TestClient, path: str) -> None:
    response = client.post(path, headers={"origin": "https://evil.example"})
    assert response.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:3000"},
        {"host": "127.0.0.1:3000", "origin": URL, "sec-fetch-site": "same-origin"},
        {"host": "localhost:3000", "origin": "http://localhost:3000"},
        {"host": "[::1]:3000", "origin": "http://[::1]:3000"},
        {"host": "Dagster.example.org", "origin": "https://dagster.example.org"},
    ],
    ids=["no browser", "own page", "localhost", "IPv6", "configured name behind TLS"],
)
def test_own_requests_are_answered(client: TestClient, headers: dict[str, str]) -> None:
    response = client.post("/graphql", json={"query": QUERY}, headers=headers)
    assert response.status_code == 200, response.text
    assert response.json()["data"]["version"]
    with client.websocket_connect("/graphql", subprotocols=["graphql-ws"], headers=headers) as websocket:
        websocket.send_json({"type": "connection_init"})
        assert websocket.receive_json() == {"type": "connection_ack"}


def test_own_mutation_is_executed(client: TestClient, instance: DagsterInstance, run_id: str) -> None:
    response = client.post("/graphql", json={"query": DELETE % run_id}, headers={"origin": URL})
    assert response.json()["data"]["deletePipelineRun"]["__typename"] == "DeletePipelineRunSuccess"
    assert not instance.has_run(run_id)


def test_followed_link_to_a_page_is_answered(client: TestClient) -> None:
    """A link in an alert leads to the page of a run; the page cannot be framed."""
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    response = client.get("/server_info", headers=link)
    assert response.status_code == 200
    assert response.headers["x-frame-options"] == "DENY"


def test_configured_host_is_allowed_and_others_are_not() -> None:
    settings = Settings(dagster_host="192.0.2.1", dagster_allowed_hosts="A.example, b.example")
    assert allowed_hosts(settings) == {"localhost", "127.0.0.1", "::1", "192.0.2.1", "a.example", "b.example"}


def test_options_have_the_settings_as_defaults() -> None:
    settings = Settings(dagster_host="127.0.0.2", dagster_port=3456)
    options = parse_arguments(settings, ["--workspace", "w.yaml", "--read-only"])
    assert (options.host, options.port, options.read_only) == ("127.0.0.2", 3456, True)
    assert parse_arguments(settings, ["--workspace", "w.yaml", "--host", "192.0.2.1"]).host == "192.0.2.1"
