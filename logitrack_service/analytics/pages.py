"""Cursors of paged reports: the sort key of a page's last row, as text that fits in a URL."""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from logitrack_service.errors import FieldError, InvalidFieldsError

DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS = 100, 500

SortKey = TypeVar("SortKey")


def encode_cursor(*values: int | str) -> str:
    """Return the cursor of a row with this sort key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def decode_cursor(cursor: str | None, key_type: type[SortKey]) -> SortKey | None:
    """Return the sort key in a cursor; None for the first page.

    Raises:
        InvalidFieldsError: The text is not a cursor of a report with this type of sort key.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=key_type)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidFieldsError([FieldError("after", "This is not a cursor of this report.")]) from None
