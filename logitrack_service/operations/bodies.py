"""JSON bodies, read strictly: a number in quotes is no number, and every wrong field is named, not only the first."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_type_hints

import msgspec
from litestar import Request

from logitrack_service.operations.problems import FieldProblem, problem


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded straight into what its handler declares as `data`."""

    async def json(self) -> Any:
        declared = self.route_handler.parsed_data_field
        if declared is None:
            return await super().json()
        return decode(await self.body(), declared.annotation)


def decode(body: bytes, kind: Any) -> Any:
    """A JSON body as `kind`.

    Raises:
        HTTPException: 400 for what is no JSON, 422 with every wrong field for what does not fit.
    """
    try:
        return _decoder(kind).decode(body)
    except msgspec.ValidationError as error:
        raise problem(422, "Some values are not valid.", errors=wrong_fields(body, kind, error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise problem(400, "The body is not valid JSON.") from None


def wrong_fields(body: bytes | msgspec.Raw, kind: Any, first: msgspec.ValidationError) -> list[FieldProblem]:
    """Every wrong field of a JSON object; msgspec itself stops at the first."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return [_described(first)]
    try:
        given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        return [_described(first)]
    found = []
    hints = get_type_hints(kind, include_extras=True)
    fields = msgspec.structs.fields(kind)
    for field in fields:
        if field.encode_name not in given:
            if field.required:
                found.append(FieldProblem(field.encode_name, "This field is missing."))
            continue
        try:
            _decoder(hints[field.name]).decode(given[field.encode_name])
        except msgspec.ValidationError as error:
            described = _described(error)
            below = described.field if described.field.startswith("[") or not described.field else f".{described.field}"
            found.append(FieldProblem(f"{field.encode_name}{below}", described.message))
    if kind.__struct_config__.forbid_unknown_fields:
        known = {field.encode_name for field in fields}
        found += [FieldProblem(name, "There is no such field.") for name in sorted(set(given) - known)[:20]]
    if found:
        return found
    whole = _described(first)  # a rule about the whole object: its sentence begins with the field it is about
    named = whole.message.partition(" ")[0]
    return [FieldProblem(named if named in hints else whole.field, whole.message)]


def _described(error: msgspec.ValidationError) -> FieldProblem:
    message, _, path = str(error).partition(" - at `$")
    return FieldProblem(path.rstrip("`").lstrip("."), message)


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
