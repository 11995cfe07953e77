"""Sessions of browsers: a cookie that scripts cannot read, and a token that other sites cannot know."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from litestar.testing import TestClient

from logitrack_tests.service.conftest import PASSWORD, ServiceHome, User

SESSION, CSRF, HEADER = "logitrack_session", "logitrack_csrf", "X-CSRF-Token"


@pytest.fixture
def browser(service_home: ServiceHome) -> Iterator[TestClient]:
    """A client with a cookie jar of its own, in another worker than `client`."""
    with service_home.worker() as worker:
        yield worker


def sign_in(browser: TestClient, user: User) -> dict[str, str]:
    """Sign a browser in and return the header that its page sends."""
    response = browser.post("/session", json={"username": user.username, "password": PASSWORD})
    assert response.status_code == 204, response.text
    return {HEADER: browser.cookies[CSRF]}


def test_cookies_cannot_be_read_by_scripts_or_sent_by_other_sites(browser: TestClient, user: User):
    response = browser.post("/session", json={"username": user.username, "password": PASSWORD})
    session, csrf = sorted(response.headers.get_list("set-cookie"), key=lambda cookie: cookie.startswith(CSRF))
    assert session.startswith(f"{SESSION}=")
    assert "HttpOnly" in session
    assert "HttpOnly" not in csrf
    for cookie in (session, csrf):
        assert "SameSite=strict" in cookie
        assert "Path=/;" in cookie
        assert "Domain" not in cookie
        assert "Secure" not in cookie, "the tests speak http"


def test_under_https_the_cookie_is_secure_and_bound_to_the_host(service_home: ServiceHome, user: User):
    with service_home.worker() as browser:
        browser.base_url = "https://testserver.local"
        response = browser.post("/session", json={"username": user.username, "password": PASSWORD})
        (session,) = [c for c in response.headers.get_list("set-cookie") if c.startswith("__Host-logitrack_session=")]
        assert "Secure" in session
        assert browser.get("/me").json()["username"] == user.username


def test_a_cookie_identifies_the_account_like_a_token(browser: TestClient, new_user: Callable[..., User]):
    admin = new_user("admin")
    header = sign_in(browser, admin)
    assert browser.get("/me").json()["username"] == admin.username
    assert browser.get("/accounts").status_code == 200
    trip = {"pickup_zone": 161, "dropoff_zone": 132}
    assert browser.post("/predict", json=trip, headers=header).status_code == 200
    assert [entry["current"] for entry in browser.get("/me/sessions").json()] == [True, False]


@pytest.mark.parametrize("given", [None, "", "x", "0" * 64, "é"])
def test_requests_that_change_something_need_the_csrf_token(browser: TestClient, user: User, given: str | None):
    sign_in(browser, user)
    headers = {} if given is None else {HEADER: given.encode()}
    for method, path in (("POST", "/logout"), ("DELETE", "/session"), ("POST", "/me/password"), ("POST", "/predict")):
        response = browser.request(method, path, headers=headers)
        assert response.status_code == 403, (method, path)
        assert HEADER.lower() in response.json()["detail"]
    assert browser.get("/me").status_code == 200


def test_the_csrf_token_of_another_session_is_refused(
    browser: TestClient, service_home: ServiceHome, new_user: Callable[..., User]
):
    sign_in(browser, new_user())
    with service_home.worker() as attacker:
        foreign = sign_in(attacker, new_user())
    browser.cookies.set(CSRF, foreign[HEADER])  # a cookie that a sister domain has set
    assert browser.post("/logout", headers=foreign).status_code == 403


def test_a_token_takes_precedence_and_needs_no_csrf_token(
    browser: TestClient, user: User, new_user: Callable[..., User]
):
    sign_in(browser, user)
    other = new_user()
    assert browser.get("/me", headers=other.headers).json()["username"] == other.username
    assert browser.post("/logout", headers=other.headers).status_code == 204
    assert browser.get("/me").json()["username"] == user.username


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_site_cannot_sign_in(browser: TestClient, user: User, content_type: str):
    body = f'{{"username": "{user.username}", "password": "{PASSWORD}"}}'
    response = browser.post("/session", content=body, headers={"Content-Type": content_type})
    assert response.status_code == 400
    assert "set-cookie" not in response.headers


def test_a_wrong_password_sets_no_cookie(browser: TestClient, user: User):
    response = browser.post("/session", json={"username": user.username, "password": "something else entirely"})
    assert response.status_code == 401
    assert "set-cookie" not in response.headers


def test_signing_out_ends_the_session_in_every_worker_and_removes_the_cookies(
    browser: TestClient, client: TestClient, user: User
):
    header = sign_in(browser, user)
    cookie = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}
    assert client.get("/me", headers=cookie).status_code == 200
    assert browser.delete("/session", headers=header).status_code == 204
    assert SESSION not in browser.cookies
    assert CSRF not in browser.cookies
    assert client.get("/me", headers=cookie).status_code == 401
    assert browser.get("/me", headers=cookie).status_code == 401


def test_a_change_of_the_role_ends_the_session(browser: TestClient, client: TestClient, user: User, admin: User):
    sign_in(browser, user)
    assert browser.get("/me").json()["role"] == "user"
    client.put(f"/accounts/{user.username}/role", json={"role": "analyst"}, headers=admin.headers)
    response = browser.get("/me")
    assert response.status_code == 401
    assert response.json()["detail"] == "This session has ended: sign in again."


def test_an_idle_or_expired_session_is_refused_by_a_worker_that_has_not_seen_it(
    browser: TestClient, client: TestClient, service_home: ServiceHome, user: User
):
    sign_in(browser, user)
    cookie = {"Cookie": f"{SESSION}={browser.cookies[SESSION]}"}
    service_home.run("update service.sessions set last_used_at = now() - interval '15 days'")
    assert client.get("/me", headers=cookie).status_code == 401


def test_a_cookie_is_no_refresh_token_and_the_other_way_round(browser: TestClient, client: TestClient, user: User):
    sign_in(browser, user)
    cookie = browser.cookies[SESSION]
    assert client.post("/token/refresh", json={"refresh_token": cookie}).status_code == 401
    stolen = {"Cookie": f"{SESSION}={user.tokens['refresh_token']}"}
    assert client.get("/me", headers=stolen).status_code == 401
    assert browser.get("/me").status_code == 200


@pytest.mark.parametrize("cookie", ["x", "x" * 5_000, "é", '"'])
def test_a_made_up_cookie_is_challenged(client: TestClient, cookie: str):
    response = client.get("/me", headers={"Cookie": f"{SESSION}={cookie}".encode()})
    assert response.status_code == 401


def test_the_cookie_is_not_stored(browser: TestClient, service_home: ServiceHome, user: User):
    sign_in(browser, user)
    assert browser.cookies[SESSION] not in str(service_home.run("select * from service.sessions"))
