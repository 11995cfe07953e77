"""Access tokens: forged, altered and expired ones are refused."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from pydantic import SecretStr

from logitrack_assets.settings import Settings
from logitrack_service.auth.keys import Keys, key_id, load_keys
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
    valid = {
        "iss": "logitrack", "aud": "logitrack", "sub": "7", "sid": "s", "jti": "j", "type": "access", "role": "user",
        "name": "alice", "iat": now, "nbf": now, "exp": now + 60,
    }  # fmt: skip
    return {name: value for name, value in {**valid, **changes}.items() if value is not ...}


def signed(payload: dict[str, Any], *, key: str = KEY, algorithm: str = "HS256", **header: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": key_id(KEY.encode()), **header})


def test_issued_token_is_accepted(tokens: Tokens):
    token = tokens.issue(account_id=7, username="alice", role="analyst", session_id="s-1")
    identity = tokens.read(token)
    assert (identity.account_id, identity.username, identity.role, identity.session_id) == (
        7,
        "alice",
        "analyst",
        "s-1",
    )
    assert tokens.read(signed(claims())).account_id == 7, "a valid token, or the refusals below prove nothing"


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
        {"iss": "another issuer"},
        {"aud": "another service"},
        {"type": "refresh"},
        {"sub": ""},
        {"sub": "admin"},
        {"sub": "-1"},
        {"sub": str(2**63)},
        {"sub": None},
        {"exp": "never"},
        {"exp": None},
    ],
)
def test_token_with_an_invalid_claim_is_refused(tokens: Tokens, changes: dict[str, Any]):
    with pytest.raises(InvalidTokenError):
        tokens.read(signed(claims(**changes)))


@pytest.mark.filterwarnings("ignore:.*HMAC key.*")
def test_cached_token_expires(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    token = tokens.issue(account_id=7, username="ada", role="user", session_id="s")
    expires_at = tokens.read(token).expires_at
    assert tokens.read(token).account_id == 7
    monkeypatch.setattr("logitrack_service.auth.tokens.time.time", lambda: expires_at)
    with pytest.raises(InvalidTokenError):
        tokens.read(token)


def test_token_cache_is_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("logitrack_service.auth.tokens.MAX_CACHED_TOKENS", 5)
    for number in range(12):
        token = tokens.issue(account_id=number, username="ada", role="user", session_id=str(number))
        assert tokens.read(token).account_id == number
    assert len(tokens._verified) <= 5


def test_cached_token_is_verified_once(tokens: Tokens, monkeypatch: pytest.MonkeyPatch):
    issued = [tokens.issue(account_id=number, username="ada", role="user", session_id="s") for number in (7, 8)]
    for token in issued:
        tokens.read(token)
    monkeypatch.setattr("logitrack_service.auth.tokens.jwt.decode", None)
    assert [tokens.read(token).account_id for token in issued] == [7, 8]


def test_issued_token_lives_for_its_minutes_and_has_an_id_of_its_own(tokens: Tokens):
    assert tokens.seconds == 900
    issued = [tokens.issue(account_id=7, username="ada", role="user", session_id="s") for _ in range(2)]
    first, second = (jwt.decode(token, options={"verify_signature": False}) for token in issued)
    assert first["exp"] - first["iat"] == 900
    assert first["nbf"] == first["iat"]
    assert len(first["jti"]) == 16  # 96 bits
    assert first["jti"] != second["jti"]


def test_greatest_account_id_is_accepted(tokens: Tokens):
    assert tokens.read(signed(claims(sub=str(2**63 - 1)))).account_id == 2**63 - 1
    assert tokens.read(signed(claims(sub="0"))).account_id == 0


def test_token_beyond_the_greatest_length_is_refused_before_it_is_parsed(tokens: Tokens):
    by_length = {
        len(token): token
        for name in range(1_200, 1_260)
        for pad in ("", "x", "xx")
        for token in [signed(claims(name="n" * name), pad=pad)]
    }
    assert tokens.read(by_length[2_000]).account_id == 7
    with pytest.raises(InvalidTokenError, match="^too long$"):
        tokens.read(by_length[2_001])


@pytest.mark.filterwarnings("ignore:.*HMAC key.*")
def test_short_key_is_refused():
    short = Keys(current="short", by_id={"short": b"short"})
    tokens = Tokens(short, minutes=15)
    with pytest.raises(InvalidTokenError):
        tokens.read(jwt.encode(claims(), "short", algorithm="HS256", headers={"kid": "short"}))


def test_other_algorithms_and_keys_are_refused(tokens: Tokens):
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


def test_changed_payload_is_refused(tokens: Tokens):
    head, body, signature = tokens.issue(account_id=7, username="a", role="user", session_id="s").split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    payload["role"] = "admin"
    forged = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    for token in (f"{head}.{forged}.{signature}", f"{head}.{forged}.", f"{head}.{body}."):
        with pytest.raises(InvalidTokenError):
            tokens.read(token)


def test_tokens_of_a_previous_key_stay_valid():
    before = Tokens(keys(OLD_KEY), minutes=15).issue(account_id=7, username="a", role="user", session_id="s")
    after = Tokens(keys(KEY, previous=(OLD_KEY,)), minutes=15)
    assert after.read(before).account_id == 7
    fresh = after.issue(account_id=7, username="a", role="user", session_id="s")
    with pytest.raises(InvalidTokenError):
        Tokens(keys(OLD_KEY), minutes=15).read(fresh)
    with pytest.raises(InvalidTokenError):
        Tokens(keys(KEY), minutes=15).read(before)
