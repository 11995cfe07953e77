"""Strict decoding of request bodies.

Values are not coerced (the string "161" is not a zone), and a rejected body reports every invalid field: msgspec itself
stops at the first one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from litestar import Request

from logitrack_service.errors import FieldError, InvalidFieldsError, InvalidRequestError

MAX_FORM_FIELDS = 50
MAX_UNKNOWN_FIELDS = 20  # reported in one response


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is decoded directly into the type of the handler's parameter `data`."""

    async def json(self) -> Any:
        """Return the decoded body.

        Raises:
            InvalidRequestError: the body is not JSON.
            InvalidFieldsError: the body does not match the declared type.
        """
        declared = self.route_handler.parsed_data_field
        if declared is None:
            return await super().json()
        return decode(await self.body(), declared.annotation)


def decode(body: bytes, kind: Any) -> Any:
    """Decode a JSON body as `kind`, a type that msgspec supports.

    Raises:
        InvalidRequestError: the body is not JSON.
        InvalidFieldsError: the body does not match `kind`; every invalid field is listed.
    """
    try:
        return _decoder(kind).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        errors = find_field_errors(body, kind, error)
    if errors is None:
        raise InvalidRequestError("The body is not valid JSON.")
    raise InvalidFieldsError(errors)


def decode_form(body: bytes, kind: Any) -> Any:
    """Decode a URL-encoded form as `kind`, a msgspec Struct.

    Raises:
        InvalidRequestError: the body is not a URL-encoded form.
        InvalidFieldsError: the form does not match `kind`; every invalid field is listed.
    """
    try:
        values = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS, errors="strict"))
    except ValueError:
        raise InvalidRequestError("The body is not a URL-encoded form.") from None
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        errors = _struct_errors(values, kind, error, lambda value, hint: msgspec.convert(value, hint, strict=False))
    raise InvalidFieldsError(errors)


def find_field_errors(body: bytes | msgspec.Raw, kind: Any, first_error: Exception) -> list[FieldError] | None:
    """Return every invalid field of a JSON body.

    Args:
        body: the rejected body.
        kind: the type that the body does not match.
        first_error: the exception that msgspec raised for the body.

    Returns:
        The invalid fields, or None if the body is not JSON.
    """
    try:
        whole = msgspec.json.decode(body, type=msgspec.Raw)
        values = msgspec.json.decode(whole, type=dict[str, msgspec.Raw])
        msgspec.json.decode(whole)
    except msgspec.ValidationError:
        return [_describe(first_error)]  # valid JSON, but not an object
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _struct_errors(values, kind, first_error, lambda value, hint: _decoder(hint).decode(value))


def _struct_errors(
    values: Mapping[str, Any], kind: Any, first_error: Exception, convert: Callable[[Any, Any], Any]
) -> list[FieldError]:
    """Return the errors of the fields of a Struct, each converted on its own."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return [_describe(first_error)]
    hints = get_type_hints(kind, include_extras=True)
    errors = []
    for field in msgspec.structs.fields(kind):
        if field.name not in values:
            if field.required:
                errors.append(FieldError(field.name, "This field is missing."))
            continue
        try:
            convert(values[field.name], hints[field.name])
        except msgspec.ValidationError as error:
            inner = _describe(error)
            separator = "" if inner.field.startswith("[") or not inner.field else "."
            errors.append(FieldError(f"{field.name}{separator}{inner.field}", inner.message))
    if kind.__struct_config__.forbid_unknown_fields:
        unknown = sorted(set(values) - set(hints))[:MAX_UNKNOWN_FIELDS]
        errors += [FieldError(name, "This field does not exist.") for name in unknown]
    return errors or [_describe_object_rule(first_error, hints)]


def _describe_object_rule(error: Exception, hints: Mapping[str, Any]) -> FieldError:
    """Describe an error of `__post_init__`: by convention its message starts with the name of the field."""
    described = _describe(error)
    name = described.message.partition(" ")[0]
    return FieldError(name if name in hints else described.field, described.message)


def _describe(error: Exception) -> FieldError:
    # msgspec offers the path only as a part of its message: "Expected `int`, got `str` - at `$.trips[0]`".
    message, _, path = str(error).partition(" - at `$")
    return FieldError(path.rstrip("`").lstrip("."), message)


@lru_cache(maxsize=256)
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)
