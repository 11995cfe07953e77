"""Creation of an admin from the command line: domain errors carry the message to print."""

from __future__ import annotations

import pytest

from logitrack_assets.errors import LogitrackError
from logitrack_service.auth.admin import create_admin
from logitrack_service.errors import ConflictError, InvalidRequestError
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.conftest import PASSWORD, QUICK_HASHES, ServiceHome, log_in


def test_created_admin_has_the_role(isolated_home: ServiceHome):
    create_admin(isolated_home.settings, "chief", PASSWORD, service_settings=ServiceSettings(**QUICK_HASHES))
    with isolated_home.worker() as client:
        token = log_in(client, "chief").json()["access_token"]
        assert client.get("/me", headers={"Authorization": f"Bearer {token}"}).json()["role"] == "admin"


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
