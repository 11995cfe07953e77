"""Creation of an admin from the command line: domain errors carry the message to print."""

from __future__ import annotations

import pytest

from logitrack_assets.errors import LogitrackError
from logitrack_service.auth.admin import OPERATOR, administer, create_admin
from logitrack_service.errors import ConflictError, InvalidRequestError, NotFoundError
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import PASSWORD, QUICK_HASHES, ServiceHome, log_in


def test_created_admin_has_the_role(isolated_home: ServiceHome):
    create_admin(isolated_home.settings, "chief", PASSWORD, service_settings=ServiceSettings(**QUICK_HASHES))
    with isolated_home.worker() as client:
        token = log_in(client, "chief").json()["access_token"]
        assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).json()["role"] == "admin"


def test_operator_administers_accounts_of_a_running_service(isolated_home: ServiceHome):
    settings = ServiceSettings(**QUICK_HASHES)

    def operate(operation):
        return administer(isolated_home.settings, operation, service_settings=settings)

    with isolated_home.worker() as client:
        client.post("/register", json={"username": "Ada", "password": PASSWORD})
        token = log_in(client, "ada").json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        operate(lambda accounts: accounts.set_vouched("ada", True, actor=OPERATOR))
        assert client.get("/me", headers=headers).json()["vouched"] is True
        operate(lambda accounts: accounts.set_disabled("ada", True, actor=OPERATOR))
        assert client.get("/me", headers=headers).status_code == 401
        (listed,) = operate(lambda accounts: accounts.list_accounts(limit=10))
        assert (listed.username, listed.vouched, listed.disabled_at is not None) == ("Ada", True, True)
        operate(lambda accounts: accounts.set_disabled("ada", False, actor=OPERATOR))
        operate(lambda accounts: accounts.set_password("ada", "another long sentence 8", actor=OPERATOR))
        assert log_in(client, "ada", "another long sentence 8").status_code == 200
        operate(lambda accounts: accounts.delete("ada", actor=OPERATOR))
        assert log_in(client, "ada", "another long sentence 8").status_code == 401
    with pytest.raises(NotFoundError, match="does not exist"):
        operate(lambda accounts: accounts.delete("ada", actor=OPERATOR))


@pytest.mark.parametrize(
    ("username", "password", "error", "message"),
    [
        ("somebody", "password1234", InvalidRequestError, r"^This password is on public lists of common passwords\.$"),
        ("CHIEF", PASSWORD, ConflictError, r"^This username is taken\.$"),
    ],
)
def test_refused_admin_is_explained_in_one_sentence(
    isolated_home: ServiceHome, username: str, password: str, error: type[LogitrackError], message: str
):
    settings = ServiceSettings(**QUICK_HASHES)
    create_admin(isolated_home.settings, "chief", PASSWORD, service_settings=settings)
    with pytest.raises(error, match=message):
        create_admin(isolated_home.settings, username, password, service_settings=settings)
