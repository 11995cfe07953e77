"""Access tokens: forged, bent and aged in every way that their checks are there for."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from logitrack_assets.settings import Settings, SettingsError
from logitrack_service.auth.keys import key_id, load_keys
from logitrack_service.auth.tokens import REQUIRED_CLAIMS, InvalidTokenError, Tokens
from logitrack_service.settings import ServiceSettings

KEY, OLD_KEY = "k" * 8 + "-the-first-key-of-these-tests-0123", "an-older-key-of-these-tests-0123456789"
EXTERNAL = {"database_url": SecretStr("postgresql://somewhere/else")}


def keys(key: str = KEY, previous: tuple[str, ...] = ()):
    settings = Settings(secret_key=SecretStr(key), **EXTERNAL)
    return load_keys(settings, ServiceSettings(secret_keys_previous=tuple(SecretStr(old) for old in previous)))


@pytest.fixture
def tokens() -> Tokens:
    return Tokens(keys(), minutes=15)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    sound = {
        "iss": "logitrack", "aud": "logitrack", "sub": "7", "sid": "s", "jti": "j", "type": "access", "role": "user",
        "name": "alice", "iat": now, "nbf": now, "exp": now + 60,
    }  # fmt: skip
    return {name: value for name, value in {**sound, **changes}.items() if value is not ...}


def signed(payload: dict[str, Any], *, key: str = KEY, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": key_id(KEY.encode()), **header})


def test_a_sound_token_is_read(tokens: Tokens):
    token = tokens.issue(account_id=7, username="alice", role="analyst", session_id="s-1")
    identity = tokens.read(token)
    assert (identity.account_id, identity.username, identity.role, identity.session_id) == (
        7,
        "alice",
        "analyst",
        "s-1",
    )
    assert tokens.read(signed(claims())).account_id == 7, "else the refusals below would prove nothing"


@pytest.mark.parametrize("claim", REQUIRED_CLAIMS)
def test_every_claim_is_required(tokens: Tokens, claim: str):
    with pytest.raises(InvalidTokenError):
        tokens.read(signed(claims(**{claim: ...})))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 1},
        {"nbf": int(time.time()) + 86_400},
        {"iat": int(time.time()) + 86_400},
        {"iss": "somebody else"},
        {"aud": "another service"},
        {"type": "refresh"},
        {"sub": ""},
        {"sub": "admin"},
        {"sub": None},
        {"exp": "never"},
        {"exp": None},
    ],
)
def test_a_claim_that_is_wrong_is_refused(tokens: Tokens, changes: dict[str, Any]):
    with pytest.raises(InvalidTokenError):
        tokens.read(signed(claims(**changes)))


@pytest.mark.filterwarnings("ignore:.*HMAC key.*")
def test_a_token_that_was_read_before_still_expires(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    token = tokens.issue(account_id=7, username="ada", role="user", session_id="s")
    expires_at = tokens.read(token).expires_at
    assert tokens.read(token).account_id == 7
    monkeypatch.setattr("logitrack_service.auth.tokens.time.time", lambda: expires_at)
    with pytest.raises(InvalidTokenError):
        tokens.read(token)


def test_what_is_remembered_of_tokens_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("logitrack_service.auth.tokens.MAX_CACHED_TOKENS", 5)
    for number in range(12):
        token = tokens.issue(account_id=number, username="ada", role="user", session_id=str(number))
        assert tokens.read(token).account_id == number
    assert len(tokens._verified) <= 5


def test_only_our_algorithm_and_key_count(tokens: Tokens):
    for token in (
        signed(claims(), key="x" * 64),
        signed(claims(), key=KEY + "0" * 64, algorithm="HS512"),
        jwt.encode(claims(), KEY, algorithm="HS512", headers={"kid": key_id(KEY.encode())}),
        jwt.encode(claims(), "", algorithm="none", headers={"kid": key_id(KEY.encode())}),
        signed(claims(), kid="unknown"),
        signed(claims(), kid="../../etc/passwd"),
        jwt.encode(claims(), KEY, algorithm="HS256"),
    ):
        with pytest.raises(InvalidTokenError):
            tokens.read(token)


def test_a_changed_payload_breaks_the_signature(tokens: Tokens):
    head, body, signature = tokens.issue(account_id=7, username="a", role="user", session_id="s").split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload["role"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    for token in (f"{head}.{forged}.{signature}", f"{head}.{forged}.", f"{head}.{body}."):
        with pytest.raises(InvalidTokenError):
            tokens.read(token)


def test_a_new_key_logs_nobody_out():
    before = Tokens(keys(OLD_KEY), minutes=15).issue(account_id=7, username="a", role="user", session_id="s")
    after = Tokens(keys(KEY, previous=(OLD_KEY,)), minutes=15)
    assert after.read(before).account_id == 7
    fresh = after.issue(account_id=7, username="a", role="user", session_id="s")
    with pytest.raises(InvalidTokenError):
        Tokens(keys(OLD_KEY), minutes=15).read(fresh)
    with pytest.raises(InvalidTokenError):
        Tokens(keys(KEY), minutes=15).read(before)


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
def test_a_short_or_known_key_is_refused_in_one_sentence(key: str):
    with pytest.raises(SettingsError, match=r"^LOGITRACK_SECRET_KEY [^\n]*\.$"):
        keys(key)


def test_without_a_key_nothing_starts_outside_the_embedded_mode(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LOGITRACK_SECRET_KEY", raising=False)
    with pytest.raises(SettingsError, match="LOGITRACK_SECRET_KEY is not set"):
        load_keys(Settings(**EXTERNAL), ServiceSettings())


def test_the_embedded_mode_makes_one_key_for_all_its_workers(tmp_path: Path):
    settings = Settings(home=tmp_path, database_url=None, secret_key=None)
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: load_keys(settings, ServiceSettings()).current, range(16)))
    assert len(ids) == 1
    kept = tmp_path / "secret_key"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]
