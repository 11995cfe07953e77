"""OpenAPI document: complete, and true to what the operations do."""

from __future__ import annotations

import re
import secrets
import shlex
from typing import Any
from uuid import UUID

import pytest
from litestar.testing import TestClient

from logitrack_service.http.field_descriptions import FIELD_DESCRIPTIONS
from logitrack_service.http.problems import PROBLEM_JSON
from logitrack_tests.project.openapi_lint import openapi_document
from logitrack_tests.service.conftest import User

OPEN_PATHS = {
    "/register",
    "/token",
    "/token/refresh",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/session",
    "/zones",
    "/zones.geojson",
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return openapi_document(tmp_path_factory.mktemp("openapi"))


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(path, method): operation for path, item in document["paths"].items() for method, operation in item.items()}


def test_every_operation_is_described(operations: dict[tuple[str, str], dict[str, Any]]):
    for key, operation in operations.items():
        assert operation["description"], key
        assert operation["summary"], key
        assert operation["tags"], key
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), key
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)


def test_security_matches_the_open_paths(operations: dict[tuple[str, str], dict[str, Any]]):
    anonymous = {path for (path, _), operation in operations.items() if operation["security"] == [{}]}
    assert anonymous == OPEN_PATHS
    closed = [operation["security"] for operation in operations.values() if operation["security"] != [{}]]
    assert operations["/session", "delete"]["security"] in closed
    assert all(security == [{"login": []}, {"token": []}, {"browser": []}] for security in closed)
    for key, operation in operations.items():
        if operation["security"] != [{}]:
            assert "401" in operation["responses"], key


def test_options_state_the_methods_of_every_path(client: TestClient, document: dict[str, Any]):
    for template, item in document["paths"].items():
        if template == "/metrics":  # guarded for every method
            continue
        path = re.sub(r"\{(\w+)\}", lambda found: str(UUID(int=1)) if found[1].endswith("_id") else "x", template)
        response = client.options(path)
        assert response.status_code == 204, template
        assert set(response.headers["allow"].split(", ")) == {"OPTIONS", *map(str.upper, item)}, template


def test_responses_without_content_describe_none(operations: dict[tuple[str, str], dict[str, Any]]):
    empty = {
        key: operation["responses"]["204"] for key, operation in operations.items() if "204" in operation["responses"]
    }
    assert ("/session", "post") in empty
    assert not [key for key, response in empty.items() if response.get("content")]


def test_errors_are_problem_documents(operations: dict[tuple[str, str], dict[str, Any]]):
    for (path, _), operation in operations.items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and (path, status) != ("/health/ready", "503"):
                assert list(response["content"]) == [PROBLEM_JSON], (path, status)


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/predict", "post", {"200", "400", "401", "403", "413", "422", "429", "500", "503"}),
        ("/predict/departures", "get", {"200", "401", "422", "500", "503"}),
        ("/outcomes", "post", {"200", "400", "401", "403", "409", "413", "422", "500", "503"}),
        ("/models", "get", {"200", "401", "422", "500", "503"}),
        ("/metrics", "get", {"200", "401", "403", "422", "500", "503"}),
        ("/health/live", "get", {"200", "422", "500"}),
        ("/health/ready", "get", {"200", "422", "500", "503"}),
    ],
)
def test_operation_lists_the_errors_that_it_returns(
    operations: dict[tuple[str, str], dict[str, Any]], path: str, method: str, statuses: set[str]
):
    assert set(operations[path, method]["responses"]) == statuses


def test_constraints_of_nested_types_are_documented(document: dict[str, Any]):
    matrix = document["components"]["schemas"]["MatrixRequest"]
    zones = matrix["properties"]["pickup_zones"]
    assert (zones["minItems"], zones["maxItems"]) == (1, 100)
    assert (zones["items"]["minimum"], zones["items"]["maximum"]) == (1, 263)
    assert matrix["additionalProperties"] is False


def test_alternative_bodies_are_documented(operations: dict[tuple[str, str], dict[str, Any]]):
    batch = operations["/predict/batch", "post"]["requestBody"]["content"]
    assert set(batch) == {"application/json", "application/x-ndjson"}
    outcome, outcomes = operations["/outcomes", "post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
    assert set(outcome["required"]) == {"prediction_id", "duration_minutes"}
    assert outcomes["properties"]["outcomes"]["maxItems"] == 10_000


def test_every_reference_resolves(document: dict[str, Any]):
    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [found for value in node.values() for found in references(value)]
        return [found for item in node for found in references(item)] if isinstance(node, list) else []

    found = set(references(document))
    assert found, "the test would be empty without references"
    for reference in found:
        prefix, _, name = reference.rpartition("/")
        assert prefix == "#/components/schemas"
        assert name in document["components"]["schemas"]


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/predict/matrix", "/outcomes"])
def test_documented_example_succeeds(
    operations: dict[tuple[str, str], dict[str, Any]], client: TestClient, user: User, path: str
):
    example = operations[path, "post"]["requestBody"]["content"]["application/json"]["example"]
    response = client.post(path, json=example, headers=user.headers)
    assert response.status_code == 200
    assert response.json().get("failed", 0) == 0


def test_documented_parameters_succeed(
    operations: dict[tuple[str, str], dict[str, Any]], client: TestClient, user: User
):
    parameters = operations["/predict/departures", "get"]["parameters"]
    query = {
        parameter["name"]: next(iter(parameter["examples"].values()))["value"]
        for parameter in parameters
        if parameter["required"]
    }
    assert query == {"pickup_zone": 161, "dropoff_zone": 132}
    assert client.get("/predict/departures", params=query, headers=user.headers).status_code == 200


def test_links_lead_to_operations_and_their_parameters(operations: dict[tuple[str, str], dict[str, Any]]):
    by_id = {operation["operationId"]: operation for operation in operations.values()}
    links = {
        (operation["operationId"], name): link
        for operation in operations.values()
        for response in operation["responses"].values()
        for name, link in response.get("links", {}).items()
    }
    assert set(links) == {
        ("register", "token"),
        ("token", "refresh"),
        ("refresh", "refresh"),
        ("predictTrip", "reportOutcomes"),
        ("listModels", "getVersion"),
        ("busiestZones", "busiestZones"),
        ("zonePairs", "zonePairs"),
    }
    for link in links.values():
        target = by_id[link["operationId"]]
        assert set(link.get("parameters", {})) <= {parameter["name"] for parameter in target.get("parameters", [])}
        assert ("requestBody" in link) == ("requestBody" in target)


def is_described(node: dict[str, Any]) -> bool:
    """Return whether a field has a description of its own, or that of the type that it refers to."""
    parts = [*node.get("anyOf", []), *node.get("oneOf", []), node.get("items") or {}]
    return "description" in node or "$ref" in node or "enum" in node or any(map(is_described, filter(None, parts)))


def test_every_field_is_described(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    undescribed = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        for field, node in schema.get("properties", {}).items()
        if not is_described(node)
    ]
    assert undescribed == []


def test_descriptions_by_name_are_all_used(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    fields = {f"{name}.{field}" for name, schema in schemas.items() for field in schema.get("properties", {})}
    names = fields | {field.partition(".")[2] for field in fields}
    assert set(FIELD_DESCRIPTIONS) <= names


def guide_commands(document: dict[str, Any]) -> list[list[str]]:
    """Return the commands of the guide at the head of the document, split into arguments."""
    blocks = re.findall(r"```sh\n(.*?)```", document["info"]["description"], flags=re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_guide_works_from_top_to_bottom(document: dict[str, Any], client: TestClient):
    values: dict[str, str] = {}
    username = f"guide-{secrets.token_hex(4)}"
    statuses = []
    for program, url, *options in guide_commands(document):
        assert program == "curl"
        headers, form, content = {}, {}, None
        for option, text in zip(options[::2], options[1::2], strict=True):
            for name, value in values.items():
                text = text.replace(f"${name}", value)
            text = text.replace("dispatcher-1", username)
            if option == "-H":
                name, _, value = text.partition(": ")
                headers[name] = value
            elif option == "--data-urlencode":
                name, _, value = text.partition("=")
                form[name] = value
            else:
                assert option == "--json"
                content = text
        path = url.removeprefix("http://127.0.0.1:8000")
        response = client.post(path, headers=headers, content=content, data=form or None)
        statuses.append(response.status_code)
        body = response.json()
        values |= {"TOKEN": body.get("access_token", values.get("TOKEN", ""))}
        values |= {"PREDICTION_ID": body.get("prediction_id", values.get("PREDICTION_ID", ""))}
    assert statuses == [201, 200, 200, 200, 200]
