"""OpenAPI document of the API, and the facts about an operation that Litestar cannot derive by itself.

Handlers state what is particular to them: docstring, summary, tags, `responses=problem_responses(...)`,
`request_example=`, `response_links=` to operations that continue with the response, `request_bodies=` where they decode
the body themselves, and `alternative_media_types=` where the response depends on the header `Accept`. This module adds
what follows from a handler's declaration: its security requirement, the errors of authentication and validation, and
the constraints of msgspec types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, ClassVar, get_args, get_type_hints

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    License,
    Link,
    OAuthFlow,
    OAuthFlows,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
    Tag,
)
from litestar.openapi.spec.enums import OpenAPIType
from litestar.plugins import OpenAPISchemaPlugin
from litestar.plugins.base import ReceiveRoutePlugin
from litestar.router import Router
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition
from litestar.typing import FieldDefinition

from logitrack_service.errors import (
    AuthenticationError,
    InvalidFieldsError,
    InvalidRequestError,
    PermissionDeniedError,
    ServiceError,
    TooLargeError,
    UnavailableError,
)
from logitrack_service.http.field_descriptions import FIELD_DESCRIPTIONS
from logitrack_service.http.problems import PROBLEM_JSON, Problem, status_of
from logitrack_service.http.query_parameters import QUERY_PARAMETERS

TITLE = "logitrack"
JSON = "application/json"
DESCRIPTION = """
How long will this taxi ride take, and how long do rides take? Predictions for planned rides with an interval around
each, and statistics of past ones, in New York City.

## Five minutes

Durations are minutes, distances miles, places the TLC's taxi zones (`GET /zones`), times New York's wall clock.

**1. Register and log in.** An access token lasts minutes; `/token/refresh` renews it.

```sh
curl http://127.0.0.1:8000/register --json '{"username": "dispatcher-1", "password": "seven yellow cabs in the rain"}'
curl http://127.0.0.1:8000/token --data-urlencode 'username=dispatcher-1' --data-urlencode 'password=seven yellow cabs in the rain'
```

Send the `access_token` with every request: `TOKEN=…`

**2. Predict a ride**, here from Midtown to JFK Airport. Keep the `prediction_id`.

```sh
curl http://127.0.0.1:8000/predict -H "Authorization: Bearer $TOKEN" --json '{"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T17:30:00", "distance_miles": 17.1}'
```

**3. Predict many**, up to 10,000 in one request; an invalid ride gets an error of its own.

```sh
curl http://127.0.0.1:8000/predict/batch -H "Authorization: Bearer $TOKEN" --json '{"trips": [{"pickup_zone": 161, "dropoff_zone": 132}, {"pickup_zone": 161, "dropoff_zone": 138}]}'
```

**4. Report the real duration** when the ride has ended: the error of the model is measured by it.

```sh
curl http://127.0.0.1:8000/outcomes -H "Authorization: Bearer $TOKEN" --json '{"prediction_id": "'$PREDICTION_ID'", "duration_minutes": 58}'
```

A typed client does all of this, with retries: `pip install 'logitrack[client]'`.

## Errors

Every error is a problem document (RFC 9457) with `detail` for people, `errors` for single fields and `request_id` for
the operator. Wait for `Retry-After` seconds after 429 and 503, then repeat; 401 means a new access token, 422 a value to
correct.

## On this page

Sign in above to try operations: your browser then has a session of its own, and no token is shown or stored.
"""  # noqa: E501  # commands are copied as one line
AUTHENTICATED: list[dict[str, list[str]]] = [{"login": []}, {"token": []}, {"browser": []}]
ANONYMOUS: list[dict[str, list[str]]] = [{}]


def openapi_config() -> OpenAPIConfig:
    """Return the configuration of the document at /schema/openapi.json, which the page at /docs displays."""
    return OpenAPIConfig(
        title=TITLE,
        version=version(TITLE),
        description=DESCRIPTION,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        use_handler_docstrings=True,
        operation_id_creator=operation_id,
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, opt={"exclude_from_auth": True}),
        render_plugins=[JsonRenderPlugin()],
        components=Components(
            security_schemes={
                "login": SecurityScheme(
                    type="oauth2",
                    flows=OAuthFlows(password=OAuthFlow(token_url="/token", scopes={})),  # noqa: S106  # a path
                ),
                "token": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                "browser": SecurityScheme(
                    type="apiKey",
                    name="logitrack_session",
                    security_scheme_in="cookie",
                    description="Cookie of `POST /session`; methods other than GET need the header `X-CSRF-Token`.",
                ),
            }
        ),
        tags=[
            Tag("identity", "Accounts, logins and roles."),
            Tag("predictions", "Durations of planned trips."),
            Tag("model", "The model behind the predictions."),
            Tag("analytics", "Durations of past trips."),
            Tag("pipeline", "Where the data comes from: months, runs and health of the platform."),
            Tag("zones", "Taxi zones of the TLC: names and shapes."),
            Tag("operations", "Health and metrics for orchestrators and monitoring."),
        ],
    )


def operation_id(handler: HTTPRouteHandler, _method: Method, _path: list[str | PathParameterDefinition]) -> str:
    """Return the name of the handler function in camel case; operation ids must be unique."""
    first, *others = handler.handler_name.split("_")
    return first + "".join(word.title() for word in others)


def problem_responses(*errors: type[ServiceError]) -> dict[int, ResponseSpec]:
    """Return the `responses=` argument of a handler that raises the given domain errors."""
    return {
        int(status_of(error)): ResponseSpec(
            Problem, description=_summary(error), media_type=PROBLEM_JSON, generate_examples=False
        )
        for error in errors
    }


def body_link(operation: str, description: str, **fields: str) -> dict[str, Link | Reference]:
    """Return the `response_links=` argument for an operation whose body continues with a response.

    Args:
        operation: id of the operation.
        description: what the operation does with the response.
        fields: runtime expression of each field of the body (OpenAPI 3.1, 4.8.20.4).
    """
    return {operation: Link(operation_id=operation, request_body=fields, description=description)}


def parameter_link(operation: str, description: str, **parameters: str) -> dict[str, Link | Reference]:
    """Return the `response_links=` argument for an operation whose parameters continue with a response.

    Args:
        operation: id of the operation.
        description: what the operation does with the response.
        parameters: runtime expression of each parameter (OpenAPI 3.1, 4.8.20.4).
    """
    return {operation: Link(operation_id=operation, parameters=parameters, description=description)}


class OperationPlugin(ReceiveRoutePlugin):
    """Completes the declaration of every handler when its route is registered."""

    def receive_route(self, route: BaseRoute) -> None:
        """Add the security requirement, the common errors and the documented body to the handlers of a route."""
        if not isinstance(route, HTTPRoute):
            return
        for handler, parameters in route.route_handler_map.values():
            if handler.resolve_include_in_schema():
                handler.opt[QUERY_PARAMETERS] = sorted(found.field_alias for found in parameters.expected_query_params)
            handler.security = ANONYMOUS if handler.opt.get("exclude_from_auth") else AUTHENTICATED
            handler.responses = {**_common_responses(handler), **(handler.responses or {})}
            handler.operation_class = _operation_class(handler)
            if handler.http_methods == {"OPTIONS"}:
                handler.after_request = partial(_with_allowed_methods, sorted(route.methods))


async def _with_allowed_methods(methods: Sequence[str], response: Response[None]) -> Response[None]:
    """Correct the header of Litestar's own handler: it keeps the methods of before others were added to its path."""
    response.headers["Allow"] = ", ".join(methods)
    return response


class MsgspecSchemaPlugin(OpenAPISchemaPlugin):
    """Describes Structs with msgspec's own JSON Schema.

    Litestar's description omits constraints of nested types (`list[Annotated[int, Meta(ge=1)]]`) and
    `forbid_unknown_fields`.
    """

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Return whether a field is a Struct."""
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: Any) -> Schema:
        """Return the schema of a Struct after registering it and the Structs that it refers to."""
        kind = field_definition.annotation
        (reference,), components = msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")
        schema: Schema = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        name = reference["$ref"].rpartition("/")[2]
        _fill(schema, _described(name, components[name]))
        for nested in _nested_structs(kind):
            schema_creator.for_field_definition(FieldDefinition.from_annotation(nested))
        return schema


@dataclass
class ApiOperation(Operation):
    """Operation of this API; `OperationPlugin` makes a subclass for each handler."""

    documented_body: ClassVar[RequestBody | None] = None
    request_example: ClassVar[Any] = None
    alternative_media_types: ClassVar[Sequence[str]] = ()
    response_links: ClassVar[Mapping[str, Link | Reference] | None] = None

    def __post_init__(self) -> None:
        """Replace Litestar's description of its validation error, and describe the bodies."""
        responses = self.responses or {}
        success = responses.get("200") or responses.get("201")
        if isinstance(success, OpenAPIResponse) and self.response_links is not None:
            success.links = dict(self.response_links)
        if isinstance(success, OpenAPIResponse) and success.content is not None:
            for media_type in self.alternative_media_types:
                success.content[media_type] = OpenAPIMediaType(Schema(type=OpenAPIType.STRING))
        empty = responses.get("204")
        if isinstance(empty, OpenAPIResponse):
            empty.content = None  # Litestar describes one for handlers that return a `Response` with cookies
        validation = responses.get("400")
        if isinstance(validation, OpenAPIResponse) and PROBLEM_JSON not in (validation.content or {}):
            # Litestar documents the error of an invalid parameter with status 400 and a schema of its own.
            del responses["400"]
            responses.setdefault("422", _problem_response(InvalidFieldsError))
        self.responses = dict(sorted(responses.items()))
        self.request_body = self.documented_body or self.request_body
        if self.request_example is not None and isinstance(self.request_body, RequestBody):
            self.request_body.content[JSON].example = self.request_example


def _operation_class(handler: HTTPRouteHandler) -> type[Operation]:
    members = {
        "documented_body": _documented_body(handler.opt.get("request_bodies")),
        "request_example": handler.opt.get("request_example"),
        "alternative_media_types": handler.opt.get("alternative_media_types", ()),
        "response_links": handler.opt.get("response_links"),
    }
    return type(ApiOperation.__name__, (ApiOperation,), members)


def _common_responses(handler: HTTPRouteHandler) -> dict[int, ResponseSpec]:
    """Return the errors that follow from the declaration of a handler: of authentication, guards and body."""
    errors: list[type[ServiceError]] = [InvalidFieldsError]  # every operation rejects unknown query parameters
    if handler.resolve_guards() or not handler.opt.get("exclude_from_auth"):
        errors += [AuthenticationError, UnavailableError]  # sessions of browsers are looked up in the database
        if handler.resolve_guards() or handler.http_methods - {"GET", "HEAD"}:
            errors.append(PermissionDeniedError)  # another role, or a cookie without its CSRF token
    if handler.parsed_data_field or handler.opt.get("request_bodies"):
        errors += [InvalidRequestError, TooLargeError]
    server_error = ResponseSpec(
        Problem, description="An internal error occurred.", media_type=PROBLEM_JSON, generate_examples=False
    )
    return {**problem_responses(*errors), int(HTTPStatus.INTERNAL_SERVER_ERROR): server_error}


def _problem_response(error: type[ServiceError]) -> OpenAPIResponse:
    schema = Reference(f"#/components/schemas/{Problem.__name__}")
    return OpenAPIResponse(_summary(error), content={PROBLEM_JSON: OpenAPIMediaType(schema)})


def _summary(error: type[ServiceError]) -> str:
    return (error.__doc__ or "").partition("\n")[0]


def _documented_body(bodies: Mapping[str, tuple[type[msgspec.Struct], ...]] | None) -> RequestBody | None:
    """Return the description of a body that a handler decodes itself.

    Args:
        bodies: alternative types for each media type; a media type without types is described as a string.
    """
    if bodies is None:
        return None
    content = {}
    for media_type, kinds in bodies.items():
        schemas: list[Any] = [_inline_schema(kind) for kind in kinds] or [{"type": "string"}]
        schema = Schema()
        _fill(schema, schemas[0] if len(schemas) == 1 else {"oneOf": schemas})
        content[media_type] = OpenAPIMediaType(schema)
    return RequestBody(content=content, required=True)


def _inline_schema(kind: type[msgspec.Struct]) -> Any:
    """Return the JSON Schema of a Struct without references."""
    (reference,), components = msgspec.json.schema_components([kind], ref_template="{name}")

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(_described(node["$ref"], components[node["$ref"]]))
            return {key: resolve(value) for key, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    return resolve(reference)


def _described(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a Struct with a description of every field that has none of its own."""
    properties = {
        field: node
        if "description" in node or (text := _description_of(name, field)) is None
        else {**node, "description": text}
        for field, node in document.get("properties", {}).items()
    }
    return {**document, "properties": properties} if properties else dict(document)


def _description_of(name: str, field: str) -> str | None:
    return FIELD_DESCRIPTIONS.get(f"{name}.{field}", FIELD_DESCRIPTIONS.get(field))


def _nested_structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the Structs that the fields of a Struct refer to directly."""
    pending = list(get_type_hints(kind, include_extras=True).values())
    while pending:
        hint = pending.pop()
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield hint
        pending.extend(get_args(hint))


def _fill(schema: Schema, document: Mapping[str, Any]) -> None:
    """Set the attributes of a schema object from JSON Schema; nested schemas stay dictionaries."""
    aliases = schema.field_aliases()
    for key, value in document.items():
        setattr(schema, aliases.get(key, key), value)
