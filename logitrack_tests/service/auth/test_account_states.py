"""Accounts and sessions against a small model: hypothesis chooses the order of operations."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, ServiceHome, User, log_in
from logitrack_tests.service.predictions.test_outcomes import IDS

MAX_SESSIONS = 2
PASSWORDS = [PASSWORD, "another long sentence 8"]

names = st.integers(0, 1)
password_choice = st.sampled_from(PASSWORDS)
pick = st.integers(0, 10**6)


@dataclass
class ModelSession:
    """A session of the model; `used` are refresh tokens that have been exchanged."""

    name: str
    access_tokens: list[tuple[str, str]]  # with the role in it
    refresh_token: str
    last_used: int
    active: bool = True
    used: list[str] = field(default_factory=list)


@dataclass
class ModelAccount:
    """An account of the model; `outcomes` are minutes by prediction id."""

    account_id: int
    password: str
    role: str = "user"
    disabled: bool = False
    vouched: bool = False
    outcomes: dict[str, float] = field(default_factory=dict)


class AccountMachine(RuleBasedStateMachine):
    """Operations on two accounts, each compared with the model at once and at the end."""

    def __init__(self, client: TestClient, home: ServiceHome, admin: dict[str, str]) -> None:
        super().__init__()
        self.client, self.home, self.admin = client, home, admin
        self.suffix = secrets.token_hex(4)
        self.accounts: dict[str, ModelAccount] = {}
        self.sessions: list[ModelSession] = []
        self.clock = 0

    def name(self, number: int) -> str:
        return f"name{number}-{self.suffix}"

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    def active(self, name: str) -> list[ModelSession]:
        return [session for session in self.sessions if session.active and session.name == name]

    def end_all(self, name: str) -> None:
        for session in self.active(name):
            session.active = False
            self.check(session)

    def choose(self, number: int) -> ModelSession:
        return self.sessions[number % len(self.sessions)]

    def put(self, name: str, what: str, body: dict[str, Any]) -> int:
        return self.client.put(f"/accounts/{name}/{what}", json=body, headers=self.admin).status_code

    def call(self, method: str, path: str, session: ModelSession, body: Any = None) -> int:
        headers = {"Authorization": f"Bearer {session.access_tokens[-1][0]}"}
        return self.client.request(method, path, json=body, headers=headers).status_code

    def check(self, session: ModelSession) -> None:
        account = self.accounts.get(session.name)
        for token, role in session.access_tokens[-2:]:
            response = self.client.get("/me", headers={"Authorization": f"Bearer {token}"})
            assert response.status_code == (200 if session.active else 401)
            if session.active:
                assert account is not None
                assert not account.disabled
                profile = response.json()
                assert (profile["username"], profile["role"]) == (session.name, account.role)
                assert profile["vouched"] == account.vouched
                assert role == account.role, "a token carries the role of its account"

    @initialize()
    def start_with_sessions(self) -> None:
        for number in (0, 1):
            self.register(number, PASSWORD)
            self.log_in(number, wrong=0, upper=False)
            self.refresh(number)

    @rule(number=names, password=password_choice)
    def register(self, number: int, password: str) -> None:
        self.home.run("delete from service.throttle")
        name = self.name(number)
        status = self.client.post("/register", json={"username": name, "password": password}).status_code
        assert status == (409 if name in self.accounts else 201)
        if name not in self.accounts:
            ((account_id,),) = self.home.run(
                "select account_id from service.accounts where username = :name", name=name
            )
            self.accounts[name] = ModelAccount(account_id, password)

    @rule(number=names, wrong=st.integers(0, 4), upper=st.booleans())
    def log_in(self, number: int, wrong: int, upper: bool) -> None:
        """Log in, one time in five with another password than the account's."""
        self.home.run("delete from service.throttle")
        name = self.name(number)
        account = self.accounts.get(name)
        known = account.password if account else PASSWORD
        response = log_in(self.client, name.upper() if upper else name, "wrong password 123" if wrong == 4 else known)
        if account is None or wrong == 4 or account.disabled:
            assert response.status_code == 401
            return
        assert response.status_code == 200
        tokens = response.json()
        open_sessions = sorted(self.active(name), key=lambda session: session.last_used, reverse=True)
        for surplus in open_sessions[MAX_SESSIONS - 1 :]:
            surplus.active = False
        self.sessions.append(
            ModelSession(name, [(tokens["access_token"], account.role)], tokens["refresh_token"], self.tick())
        )

    @precondition(lambda self: self.sessions)
    @rule(number=pick)
    def refresh(self, number: int) -> None:
        session = self.choose(number)
        response = self.client.post("/token/refresh", json={"refresh_token": session.refresh_token})
        assert response.status_code == (200 if session.active else 401)
        if session.active:
            tokens = response.json()
            session.used.append(session.refresh_token)
            session.refresh_token = tokens["refresh_token"]
            session.access_tokens.append((tokens["access_token"], self.accounts[session.name].role))
            session.last_used = self.tick()

    @precondition(lambda self: any(session.used for session in self.sessions))
    @rule(number=pick)
    def reuse(self, number: int) -> None:
        refreshed = [session for session in self.sessions if session.used]
        session = refreshed[number % len(refreshed)]
        token = session.used[number % len(session.used)]
        assert self.client.post("/token/refresh", json={"refresh_token": token}).status_code == 401
        session.active = False
        self.check(session)

    @precondition(lambda self: self.sessions)
    @rule(number=pick, everywhere=st.booleans())
    def log_out(self, number: int, everywhere: bool) -> None:
        session = self.choose(number)
        status = self.call("POST", "/logout/everywhere" if everywhere else "/logout", session)
        assert status == (204 if session.active else 401)
        if session.active and everywhere:
            self.end_all(session.name)
        session.active = False

    @precondition(lambda self: self.sessions)
    @rule(number=pick, current=password_choice, new=password_choice)
    def change_password(self, number: int, current: str, new: str) -> None:
        self.home.run("delete from service.throttle")
        session = self.choose(number)
        status = self.call("POST", "/me/password", session, {"current_password": current, "new_password": new})
        if not session.active:
            assert status == 401
        elif current != self.accounts[session.name].password:
            assert status == 403
        else:
            assert status == 204
            self.accounts[session.name].password = new
            self.end_all(session.name)

    @precondition(lambda self: self.sessions)
    @rule(number=pick, owned=st.booleans(), repeated=st.booleans(), minutes=st.sampled_from([10.0, 20.0]))
    def report_outcome(self, number: int, owned: bool, repeated: bool, minutes: float) -> None:
        """Report an outcome of a prediction of the account, or of another one; or report one again."""
        session = self.choose(number)
        account = self.accounts.get(session.name)
        known = account.outcomes if account else {}
        owner = account.account_id if account and owned else 2**62
        prediction_id = next(iter(known)) if repeated and known else IDS.issue([owner])[0]
        headers = {"Authorization": f"Bearer {session.access_tokens[-1][0]}"}
        report = {"prediction_id": prediction_id, "duration_minutes": minutes}
        response = self.client.post("/outcomes", json=report, headers=headers)
        if not session.active:
            assert response.status_code == 401
        elif known.get(prediction_id, minutes) != minutes:
            assert response.status_code == 409
        else:
            assert response.status_code == 200
            answer = response.json()
            is_owned = prediction_id in known or owned
            assert answer["unknown"] == ([] if is_owned else [prediction_id])
            assert answer["already_known"] == (prediction_id in known)
            assert answer["recorded"] == (is_owned and prediction_id not in known)
            if is_owned:
                known[prediction_id] = minutes

    @rule(number=names, role=st.sampled_from(["user", "analyst", "admin"]))
    def set_role(self, number: int, role: str) -> None:
        name = self.name(number)
        account = self.accounts.get(name)
        assert self.put(name, "role", {"role": role}) == (200 if account else 404)
        if account and account.role != role:
            account.role = role
            self.end_all(name)

    @rule(number=names, disabled=st.booleans())
    def set_disabled(self, number: int, disabled: bool) -> None:
        name = self.name(number)
        account = self.accounts.get(name)
        assert self.put(name, "disabled", {"disabled": disabled}) == (200 if account else 404)
        if account:
            account.disabled = disabled
            if disabled:
                self.end_all(name)

    @rule(number=names, vouched=st.booleans())
    def set_vouched(self, number: int, vouched: bool) -> None:
        name = self.name(number)
        account = self.accounts.get(name)
        assert self.put(name, "vouched", {"vouched": vouched}) == (200 if account else 404)
        if account:
            account.vouched = vouched

    @rule(number=names, password=password_choice)
    def set_password(self, number: int, password: str) -> None:
        name = self.name(number)
        account = self.accounts.get(name)
        assert self.put(name, "password", {"new_password": password}) == (204 if account else 404)
        if account:
            account.password = password
            self.end_all(name)

    @rule(number=names)
    def delete(self, number: int) -> None:
        name = self.name(number)
        status = self.client.delete(f"/accounts/{name}", headers=self.admin).status_code
        assert status == (204 if self.accounts.pop(name, None) else 404)
        self.end_all(name)

    @precondition(lambda self: self.sessions)
    @rule(number=pick)
    def use(self, number: int) -> None:
        self.check(self.choose(number))

    @rule(number=names)
    def list_sessions(self, number: int) -> None:
        name = self.name(number)
        response = self.client.get(f"/accounts/{name}/sessions", headers=self.admin)
        assert response.status_code == (200 if name in self.accounts else 404)
        if name in self.accounts:
            assert len(response.json()) == len(self.active(name)) <= MAX_SESSIONS

    def teardown(self) -> None:
        for session in self.sessions:
            self.check(session)
        for account in self.accounts.values():
            stored = self.home.run(
                "select prediction_id::text, duration_minutes from service.outcomes where account_id = :id",
                id=account.account_id,
            )
            assert dict(map(tuple, stored)) == account.outcomes


@pytest.mark.parametrize(
    ("examples", "steps"), [(10, 30), pytest.param(100, 60, marks=pytest.mark.long)], ids=["quick", "thorough"]
)
def test_accounts_and_sessions_agree_with_the_model(
    isolated_home: ServiceHome, new_user: Callable[..., User], examples: int, steps: int
):
    with isolated_home.worker(max_sessions_per_account=MAX_SESSIONS, log_level="error") as client:
        admin = new_user("admin", client=client, home=isolated_home)
        run_state_machine_as_test(
            lambda: AccountMachine(client, isolated_home, admin.headers),
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                phases=[Phase.generate],  # shrinking repeats slow requests hundreds of times
                database=None,
                derandomize=examples < 100,  # `make test` always runs the same examples
                suppress_health_check=list(HealthCheck),
            ),
        )
