"""The registry of an installation, whose champions are signed.

A promotion is signed with HMAC-SHA256 (RFC 2104) over the champion's entry, which contains the digest of the manifest,
which contains the digests of all files. Whoever can write the models folder but does not have the key cannot make the
service load a version of their own.

The key comes from `LOGITRACK_REGISTRY_KEY`. In the embedded mode it is a file of the home folder unless it is set. With
`LOGITRACK_DATABASE_URL` and no key, promotions are not signed.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from logitrack_assets.eta.registry import ChampionSigner, ModelRegistry
from logitrack_assets.files import create_atomic
from logitrack_assets.settings import Settings

KEY_FILE = "registry_key"


def signed_registry(settings: Settings, home: Path | None = None) -> ModelRegistry:
    """Return the registry of an installation.

    A pointer from before the key file is signed when the registry is first opened, so an upgrade changes nothing.

    Args:
        settings: Settings of the installation.
        home: The home folder, where it is not that of the settings.
    """
    home = home or settings.home
    folder = home / "models"
    if settings.registry_key is not None:
        key = settings.registry_key.get_secret_value().encode()
        return ModelRegistry(folder, ChampionSigner(lambda: key))
    if not settings.embedded:
        return ModelRegistry(folder)
    key_file = home / KEY_FILE
    registry = ModelRegistry(folder, ChampionSigner(lambda: _load_or_create(key_file)))
    if registry.champion_file.exists() and not key_file.exists():
        registry.sign_entries()
    return registry


def _load_or_create(key_file: Path) -> bytes:
    """Return the key of a file; create it once, readable by its owner only."""
    if not key_file.exists():
        create_atomic(key_file, secrets.token_urlsafe(48), mode=0o600)
    return key_file.read_bytes()
