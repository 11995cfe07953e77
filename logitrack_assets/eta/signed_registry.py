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
from logitrack_assets.files import create_atomic, exclusive_lock, fsync_path
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
        _sign_first(folder, key_file)
    return registry


def _sign_first(folder: Path, key_file: Path) -> None:
    """Sign the champions of a registry that has no key yet.

    The key gets its name after the signatures exist: a process that is killed in between leaves no key, and no
    champion is refused. The next one goes on with the same key.
    """
    with exclusive_lock(key_file.with_name(f".{KEY_FILE}.lock")):
        if key_file.exists():
            return
        draft = key_file.with_name(f".{KEY_FILE}.new")
        key = _load_or_create(draft)
        ModelRegistry(folder, ChampionSigner(lambda: key)).sign_entries()
        draft.replace(key_file)
        fsync_path(key_file.parent)


def _load_or_create(key_file: Path) -> bytes:
    """Return the key of a file; create it once, readable by its owner only."""
    if not key_file.exists():
        create_atomic(key_file, secrets.token_urlsafe(48), mode=0o600)
    return key_file.read_bytes()
