"""What Litestar cannot know by itself about the API, written into its OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Litestar, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    OAuthFlow,
    OAuthFlows,
    OpenAPIMediaType,
    OpenAPIResponse,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.routes import HTTPRoute

from logitrack_service.http.problems import PROBLEM_JSON, Problem

TITLE, VERSION = "logitrack", "1.0"
JSON = "application/json"
DESCRIPTION = """
How long will a ride in New York take, and how long do rides take?

Register, get a token from `/token`, send it as `Authorization: Bearer …`. Errors are problem documents (RFC 9457).
"""
_MEANINGS = {
    "400": "The request cannot be read.",
    "401": "No valid access token; `WWW-Authenticate` says what is wrong with it.",
    "403": "The account's role does not allow this.",
    "404": "There is no such thing.",
    "405": "The path knows other methods.",
    "408": "It took too long.",
    "409": "It contradicts what is there already.",
    "413": "It is too large.",
    "422": "Some values are not valid; `errors` names each.",
    "429": "Too many attempts; `Retry-After` says how long to wait.",
    "500": "Something went wrong on our side.",
    "503": "Something that is needed is away; `Retry-After` says when to try again.",
}


def openapi_config() -> OpenAPIConfig:
    """The document at /schema/openapi.json; the page at /docs shows it."""
    return OpenAPIConfig(
        title=TITLE,
        version=VERSION,
        description=DESCRIPTION,
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, opt={"exclude_from_auth": True}),
        render_plugins=[JsonRenderPlugin()],
        components=Components(
            security_schemes={
                "login": SecurityScheme(
                    type="oauth2",
                    flows=OAuthFlows(password=OAuthFlow(token_url="/token", scopes={})),  # noqa: S106
                ),
                "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            }
        ),
        tags=[
            Tag("identity", "Accounts, logins, roles."),
            Tag("predictions", "How long a ride will take."),
            Tag("model", "What answers."),
            Tag("analytics", "How long rides took."),
            Tag("operations", "For the operator's machines."),
        ],
    )


def complete(app: Litestar) -> None:
    """Adds to the document: which errors each operation may answer with, who needs a token, and the bodies that
    handlers read by themselves."""
    document = app.openapi_schema
    assert document.components is not None
    schemas: dict[str, Any] = document.components.schemas or {}
    document.components.schemas = schemas
    _reference(Problem, schemas)
    for route in app.routes:
        if not isinstance(route, HTTPRoute) or route.path_format not in (document.paths or {}):
            continue
        item = (document.paths or {})[route.path_format]
        for handler, _ in route.route_handler_map.values():
            for method in handler.http_methods:
                operation = getattr(item, method.lower(), None)
                if operation is None:
                    continue
                opt = handler.opt
                open_to_all = bool(opt.get("exclude_from_auth"))
                if not open_to_all:
                    operation.security = [{"login": []}, {"token": []}]
                declared = handler.parsed_data_field
                kinds = opt.get("body_schemas") or ((declared.annotation,) if declared else None)
                if kinds:  # as msgspec checks it: Litestar's description leaves out half of the limits
                    operation.request_body = _request_body(kinds, opt.get("body_media_type", JSON), schemas)
                statuses = ["400", "405", "413", "422", "500", "503", "429", "404", "409"]
                statuses += [] if open_to_all and "/token" not in route.path else ["401"]
                statuses += ["403"] if opt.get("guarded") or handler.resolve_guards() or "/me" in route.path else []
                statuses += ["408"] if route.path.endswith("/query") else []
                if route.path == "/metrics":
                    statuses += ["401", "403"]
                operation.responses = operation.responses or {}
                for status in sorted(set(statuses)):
                    if route.path == "/health/ready" and status == "503":
                        operation.responses["503"] = operation.responses["200"]
                        continue
                    operation.responses[status] = OpenAPIResponse(
                        _MEANINGS[status], content={PROBLEM_JSON: OpenAPIMediaType(_reference(Problem, schemas))}
                    )


def _request_body(kinds: tuple[type, ...], media_type: str, schemas: dict[str, Any]) -> RequestBody:
    references = [_reference(kind, schemas) for kind in kinds]
    schema = references[0] if len(references) == 1 else Schema(any_of=references)
    return RequestBody(content={media_type: OpenAPIMediaType(schema)}, required=True)


def _reference(kind: Any, schemas: dict[str, Any]) -> Any:
    """A schema as msgspec describes it; what it refers to goes to the document's components."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
    for name, component in components.items():
        schemas[name] = _Plain(component)
    return _Plain(schema)


class _Plain(Schema):
    """A schema that is already JSON."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__()
        self.document = document

    def to_schema(self) -> dict[str, Any]:
        return self.document
