"""Champions are signed: entries that were written without the key are refused and never gone back to."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from logitrack_assets.eta.artifact import MANIFEST, ArtifactError
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.eta.signed_registry import KEY_FILE, signed_registry
from logitrack_assets.settings import Settings
from logitrack_tests.eta.examples import publish_version


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, database_url=None)


def external(home: Path, key: str | None = None) -> Settings:
    url = SecretStr("postgresql://somewhere/logitrack")
    return Settings(home=home, database_url=url, registry_key=None if key is None else SecretStr(key))


def publish(settings: Settings, count: int) -> list[str]:
    models = ModelRegistry(settings.home / "models")
    return [publish_version(models, zones=float(10 + number)) for number in range(count)]


def test_embedded_key_is_created_once_and_readable_by_its_owner_only(embedded: Settings):
    (version,) = publish(embedded, 1)
    signed_registry(embedded).promote(version, by="ada", reason="first")
    key_file = embedded.home / KEY_FILE
    key = key_file.read_bytes()
    assert len(key) >= 32
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    champion = signed_registry(embedded).champion()
    assert champion is not None
    assert (champion.version, key_file.read_bytes()) == (version, key)


def test_opening_a_registry_without_a_champion_writes_nothing(embedded: Settings):
    assert signed_registry(embedded).champion() is None
    assert list(embedded.home.iterdir()) == []


def test_champion_and_history_from_before_the_key_are_signed_once(embedded: Settings):
    first, second, forged = publish(embedded, 3)
    unsigned = ModelRegistry(embedded.home / "models")
    for version in (first, second):
        unsigned.promote(version, by="ada", reason="before the upgrade")
    models = signed_registry(embedded)
    champion = models.champion()
    assert champion is not None
    assert champion.version == second
    assert [entry.version for entry in models.history()] == [first, second]
    assert models.rollback(by="bob", reason="complaints").version == first
    unsigned.promote(forged, by="mallory", reason="without the key")
    with pytest.raises(ArtifactError, match="is not signed with the registry key"):
        signed_registry(embedded).champion()


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "other"}, {"manifest_sha256": "0" * 64}, {"reason": "mine"}, {"signature": "0" * 64},
        {"signature": None}, {"promoted_at": "2030-01-01T00:00:00Z"}, {"kind": "rollback"},
    ],
)  # fmt: skip
def test_any_altered_field_is_refused(embedded: Settings, changes: dict[str, Any]):
    first, other = publish(embedded, 2)
    models = signed_registry(embedded)
    models.promote(first, by="ada", reason="good")
    pointer = json.loads(models.champion_file.read_text())
    changes = {name: other if value == "other" else value for name, value in changes.items()}
    models.champion_file.write_text(json.dumps(pointer | changes))
    with pytest.raises(ArtifactError, match="is not signed with the registry key"):
        models.champion()
    assert "champion" not in {row.status for row in models.listed()}
    assert models.promote(first, by="ada", reason="again").version == first
    assert models.champion() is not None


def test_rollback_ignores_entries_without_a_signature(embedded: Settings):
    first, forged, second = publish(embedded, 3)
    models = signed_registry(embedded)
    models.promote(first, by="ada", reason="good")
    history = models.folder / "history.jsonl"
    entry = json.loads(history.read_text()) | {"version": forged}
    history.write_text(history.read_text() + json.dumps(entry) + "\n")
    models.promote(second, by="ada", reason="better")
    assert [entry.version for entry in models.history()] == [first, second]
    assert models.rollback(by="ada", reason="worse").version == first
    assert len(history.read_text().splitlines()) == 4, "the file keeps what was found"


def test_rollback_refuses_a_version_whose_manifest_was_altered(embedded: Settings):
    first, second = publish(embedded, 2)
    models = signed_registry(embedded)
    for version in (first, second):
        models.promote(version, by="ada", reason="good")
    manifest = models.path(first) / MANIFEST
    manifest.write_text(manifest.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(ArtifactError, match=f"The manifest.json of model {first} was altered"):
        models.rollback(by="ada", reason="worse")


def test_external_registry_is_signed_if_there_is_a_key(tmp_path: Path):
    first, second = publish(external(tmp_path), 2)
    signed_registry(external(tmp_path)).promote(first, by="ada", reason="without a key")
    assert signed_registry(external(tmp_path)).champion() is not None
    with_key = signed_registry(external(tmp_path, "k" * 32))
    with pytest.raises(ArtifactError, match="is not signed"):
        with_key.champion()
    with_key.promote(second, by="ada", reason="with a key")
    assert with_key.champion() is not None
    with pytest.raises(ArtifactError, match="is not signed"):
        signed_registry(external(tmp_path, "j" * 32)).champion()
    assert not (tmp_path / KEY_FILE).exists()


def test_short_key_is_refused(tmp_path: Path):
    with pytest.raises(ValidationError, match="at least 32"):
        external(tmp_path, "short")
