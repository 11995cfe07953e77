"""Bodies, read strictly: a number in quotes is no number, and every wrong field is named, not only the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from litestar import Request

from logitrack_service.http.problems import FieldProblem, problem


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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        wrong = wrong_fields(body, kind, error)
    if wrong is None:
        raise problem(400, "The body is not valid JSON.")
    raise problem(422, "Some values are not valid.", errors=wrong)


def decode_form(body: bytes, kind: Any) -> Any:
    """A URL-encoded form as `kind`.

    Raises:
        HTTPException: 400 for what is no form, 422 with every wrong field for what does not fit.
    """
    try:
        given = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict"))
    except ValueError:
        raise problem(400, "The body is not a URL-encoded form.") from None
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        wrong = _wrong_fields(given, kind, error, lambda value, hint: msgspec.convert(value, hint, strict=False))
    raise problem(422, "Some values are not valid.", errors=wrong)


def wrong_fields(body: bytes | msgspec.Raw, kind: Any, first: Exception) -> list[FieldProblem] | None:
    """Every wrong field of a JSON body, given the one that msgspec stopped at; None if it is no JSON at all."""
    try:
        whole = msgspec.json.decode(body, type=msgspec.Raw)
        given = msgspec.json.decode(whole, type=dict[str, msgspec.Raw])
        msgspec.json.decode(whole)
    except msgspec.ValidationError:
        return [_described(first)]  # JSON, but no object
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _wrong_fields(given, kind, first, lambda value, hint: _decoder(hint).decode(value))


def _wrong_fields(
    given: Mapping[str, Any], kind: Any, first: Exception, convert: Callable[[Any, Any], Any]
) -> list[FieldProblem]:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return [_described(first)]
    found = []
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        if field.name not in given:
            if field.required:
                found.append(FieldProblem(field.name, "This field is missing."))
            continue
        try:
            convert(given[field.name], hints[field.name])
        except msgspec.ValidationError as error:
            inner = _described(error)
            between = "" if inner.field.startswith("[") or not inner.field else "."
            found.append(FieldProblem(f"{field.name}{between}{inner.field}", inner.message))
    if kind.__struct_config__.forbid_unknown_fields:
        found += [FieldProblem(name, "There is no such field.") for name in sorted(set(given) - set(hints))[:20]]
    if found:
        return found
    whole = _described(first)  # a rule about the whole object: its sentence begins with the field it is about
    named = whole.message.partition(" ")[0]
    return [FieldProblem(named if named in hints else whole.field, whole.message)]


def _described(error: Exception) -> FieldProblem:
    message, _, path = str(error).partition(" - at `$")
    return FieldProblem(path.rstrip("`").lstrip("."), message)


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
