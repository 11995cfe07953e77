"""Signing keys: weak ones are refused, the embedded mode creates one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from logitrack_assets.settings import Settings, SettingsError
from logitrack_service.auth.keys import load_keys
from logitrack_service.settings import ServiceSettings

EXTERNAL = {"database_url": SecretStr("postgresql://somewhere/else")}


@pytest.mark.parametrize(
    "key",
    [
        "too short",
        "a" * 64,
        "abababababababababababababababababab",
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "your-256-bit-secret-your-256-bit-secret",
    ],
)
def test_weak_key_is_refused_in_one_sentence(key: str):
    with pytest.raises(SettingsError, match=r"^LOGITRACK_SECRET_KEY [^\n]*\.$"):
        load_keys(Settings(secret_key=SecretStr(key), **EXTERNAL), ServiceSettings())


def test_missing_key_is_refused_outside_the_embedded_mode(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOGITRACK_SECRET_KEY", raising=False)
    with pytest.raises(SettingsError, match="LOGITRACK_SECRET_KEY is not set"):
        load_keys(Settings(**EXTERNAL), ServiceSettings())


def test_embedded_mode_creates_one_key_for_all_workers(tmp_path: Path):
    settings = Settings(home=tmp_path, database_url=None, secret_key=None)
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: load_keys(settings, ServiceSettings()).current, range(16)))
    assert len(ids) == 1
    stored = tmp_path / "secret_key"
    assert stored.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
