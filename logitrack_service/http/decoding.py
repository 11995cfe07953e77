"""Strict decoding of request bodies, bounded in time and memory.

Values are not coerced (the string "161" is not a zone), and a rejected body reports every invalid field: msgspec itself
stops at the first one. Large bodies are decoded in a thread. msgspec holds the interpreter's lock while it decodes, so
the number of values is limited too: a short decoding cannot stall the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar, get_type_hints
from urllib.parse import parse_qsl

import msgspec
from litestar import Request
from litestar.exceptions import InternalServerException

from logitrack_service.errors import FieldError, InvalidFieldsError, InvalidRequestError, TooLargeError

MAX_FORM_FIELDS = 50
MAX_UNKNOWN_FIELDS = 20  # reported in one response
MAX_FIELD_NAME_CHARACTERS = 100  # of a client's text that a response repeats
MAX_LISTED_BYTES = 16_384  # of a larger body only the first invalid field is reported
MAX_LOOP_BYTES = 16_384  # larger bodies are processed in a thread
_COUNTED_BYTES = 65_536  # counting one piece takes less than 0.1 ms

Result = TypeVar("Result")


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
        body = await self.body()
        return await process_body(body, lambda: decode(body, declared.annotation))

    async def body(self) -> bytes:
        """Return the body.

        Raises:
            InvalidRequestError: the client disconnected, or its body was not complete in time.
        """
        try:
            return await super().body()
        except InternalServerException:  # Litestar's error for a client that disconnected
            raise InvalidRequestError("The body is incomplete.") from None


async def process_body(body: bytes, work: Callable[[], Result]) -> Result:
    """Return the result of `work`, which runs in a thread if the body is large."""
    return work() if len(body) <= MAX_LOOP_BYTES else await asyncio.to_thread(work)


def require_max_count(body: bytes, separator: bytes, maximum: int) -> None:
    """Check that a separator does not occur too often in a body, before anything is decoded.

    Args:
        body: the body, of any content.
        separator: a single byte that separates values or rows.
        maximum: the number of separators in the largest valid body.

    Raises:
        TooLargeError: the body has more separators.
    """
    count = 0
    for start in range(0, len(body), _COUNTED_BYTES):
        count += body.count(separator, start, start + _COUNTED_BYTES)
        if count > maximum:
            raise TooLargeError(f"The body has more values than the {maximum:,} that this operation accepts.")


def decode(body: bytes, kind: Any) -> Any:
    """Decode a JSON body as `kind`, a type that msgspec supports.

    Raises:
        InvalidRequestError: the body is not JSON.
        InvalidFieldsError: the body does not match `kind`; every invalid field is listed, of a large body the first.
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


def find_field_errors(
    body: bytes | msgspec.Raw, kind: Any, first_error: Exception, *, first_only: bool = False
) -> list[FieldError] | None:
    """Return every invalid field of a JSON body.

    Args:
        body: the rejected body.
        kind: the type that the body does not match.
        first_error: the exception that msgspec raised for the body.
        first_only: whether to return only the first invalid field, as of a body of more than `MAX_LISTED_BYTES`.

    Returns:
        The invalid fields, or None if the body is not JSON.
    """
    if first_only or len(memoryview(body)) > MAX_LISTED_BYTES:
        return [_describe(first_error)] if isinstance(first_error, msgspec.ValidationError) else None
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
    hints = _type_hints(kind)
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
        errors += [FieldError(name[:MAX_FIELD_NAME_CHARACTERS], "This field does not exist.") for name in unknown]
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


@lru_cache(maxsize=256)
def _type_hints(kind: type[msgspec.Struct]) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)
