"""Rejection of query parameters that an operation does not have: a misspelt filter must not be ignored."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from litestar import Request

from logitrack_service.errors import FieldError, InvalidFieldsError
from logitrack_service.http.decoding import MAX_FIELD_NAME_CHARACTERS, MAX_UNKNOWN_FIELDS

QUERY_PARAMETERS = "query_parameters"  # key of a handler's `opt`: the names of its parameters, sorted


def reject_unknown_parameters(request: Request[Any, Any, Any]) -> None:
    """Check the names in a query string against the parameters of the operation.

    Raises:
        InvalidFieldsError: the operation does not have a parameter; the message names the nearest one.
    """
    if not request.scope["query_string"]:
        return
    names = request.route_handler.opt.get(QUERY_PARAMETERS)
    if names is None:  # not an operation of the API
        return
    unknown = sorted(set(request.query_params) - set(names))[:MAX_UNKNOWN_FIELDS]
    if unknown:
        raise InvalidFieldsError(
            [FieldError(name[:MAX_FIELD_NAME_CHARACTERS], _describe_unknown(name, names)) for name in unknown]
        )


def _describe_unknown(name: str, names: list[str]) -> str:
    nearest = get_close_matches(name[:MAX_FIELD_NAME_CHARACTERS], names, n=1, cutoff=0.5)
    if nearest:
        return f"This parameter does not exist; the nearest one is `{nearest[0]}`."
    if names:
        return f"This parameter does not exist; the operation has {', '.join(f'`{known}`' for known in names)}."
    return "This parameter does not exist; the operation has none."
