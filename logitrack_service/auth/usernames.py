"""Usernames: their alphabet, and the one normal form under which accounts are stored, found and throttled."""

from __future__ import annotations

import re

from logitrack_service.errors import FieldError, InvalidFieldsError

USERNAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@+-]*(?!\n)$"  # (?!\n): Python's $ also matches before a final newline
MIN_USERNAME_LENGTH, MAX_USERNAME_LENGTH = 3, 64  # characters

_USERNAME = re.compile(USERNAME_PATTERN)


def normalize_username(username: str) -> str:
    """Return the normal form of a username.

    Names in the alphabet are equal regardless of case. It is ASCII, where lower case is the same for Python and
    PostgreSQL; they differ for other letters, for example U+0130. A name outside the alphabet equals only itself:
    accounts with such names can exist since before the alphabet was declared.
    """
    return username.lower() if _USERNAME.match(username) else username


def require_valid_username(username: str) -> None:
    """Check the name of a new account.

    Raises:
        InvalidFieldsError: The name is too short, too long or outside the alphabet.
    """
    if MIN_USERNAME_LENGTH <= len(username) <= MAX_USERNAME_LENGTH and _USERNAME.match(username):
        return
    message = (
        f"A username has {MIN_USERNAME_LENGTH} to {MAX_USERNAME_LENGTH} characters: ASCII letters, digits and ._@+-,"
        " the first one a letter or a digit."
    )
    raise InvalidFieldsError([FieldError("username", message)])
