"""Several worker processes: killed, stopped, and during an outage of PostgreSQL."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from sqlalchemy import create_engine, text

from logitrack_assets.database import database_url
from logitrack_assets.settings import Settings
from logitrack_tests.service.models import promote_model
from logitrack_tests.service.polling import eventually
from logitrack_tests.service.processes import PASSWORD, RunningService, running

TRIP = {"pickup_zone": 161, "dropoff_zone": 132, "pickup_at": "2019-07-01T08:30:00"}


def stop_postgres(home: Path) -> None:
    """Stop the embedded server as an administrator would: PostgreSQL's fast shutdown."""
    postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    postmaster.send_signal(signal.SIGINT)
    eventually(lambda: not postmaster.is_running() or postmaster.status() == psutil.STATUS_ZOMBIE, seconds=30)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service_home")
    promote_model(folder)
    return folder


@pytest.fixture(scope="module")
def url(home: Path) -> str:
    return database_url(Settings(home=home, database_url=None))


@pytest.fixture(scope="module")
def service(home: Path, url: str) -> Iterator[RunningService]:
    with running(home, workers=2) as started:
        # A worker that is still starting would start a stopped server again.
        eventually(lambda: started.starts() == 2, seconds=60)
        yield started


def test_revoked_session_is_refused_by_every_worker(service: RunningService):
    for number in range(5):
        headers = service.user(f"leaver-{number}")
        assert httpx2.post(f"{service.url}/logout", headers=headers).status_code == 204
        # Each request uses a new connection: the kernel assigns it to either worker.
        assert {httpx2.get(f"{service.url}/me", headers=headers).status_code for _ in range(12)} == {401}


def test_metrics_cover_all_workers(service: RunningService):
    def answered() -> float:
        text = httpx2.get(f"{service.url}/metrics").text
        return sum(map(float, re.findall(r'requests_total{method="GET",route="unmatched",status="404"} (\S+)', text)))

    before = answered()
    for _ in range(40):
        httpx2.get(f"{service.url}/not/here")
    assert [answered() - before for _ in range(4)] == [40] * 4


def test_killed_worker_is_replaced_while_others_serve(service: RunningService):
    headers = service.user("survivor")
    starts = service.starts()
    victim = service.workers()[0]
    victim.kill()
    statuses = Counter()
    deadline = time.monotonic() + 60
    while service.starts() == starts:
        assert time.monotonic() < deadline, "the worker was not replaced"
        try:
            statuses[httpx2.post(f"{service.url}/predict", json=TRIP, headers=headers).status_code] += 1
        except httpx2.TransportError:
            statuses["lost"] += 1  # accepted by the killed worker
    assert len([worker for worker in service.workers() if worker.pid != victim.pid]) == 2
    assert set(statuses) <= {200, "lost"}
    assert statuses["lost"] <= 3


def test_predictions_continue_during_a_database_outage_and_are_stored_after_it(
    service: RunningService, home: Path, url: str
):
    headers = service.user("patient")
    answered: list[str] = []
    failures: list[object] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx2.Client(base_url=service.url, headers=headers, timeout=5) as client:
            while not stop.is_set():
                response = client.post("/predict", json=TRIP)
                if response.status_code == 200:
                    answered.append(response.json()["prediction_id"])
                else:
                    failures.append(response.text)
                time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.5)
    stop_postgres(home)
    began = time.monotonic()
    login = httpx2.post(f"{service.url}/token", data={"username": "patient", "password": PASSWORD}, timeout=10)
    assert login.status_code == 503
    assert login.headers["content-type"] == "application/problem+json"
    assert httpx2.get(f"{service.url}/health/ready", timeout=10).json()["checks"]["database"]["status"] == "degraded"
    time.sleep(max(0, 4 - (time.monotonic() - began)))
    assert database_url(Settings(home=home, database_url=None)) == url
    service.wait_until_ready(20)
    time.sleep(0.5)
    stop.set()
    asking.join()
    assert failures == []
    assert len(answered) > 100
    engine = create_engine(url)
    deadline = time.monotonic() + 10
    while True:
        with engine.connect() as connection:
            stored = {str(id_) for id_ in connection.scalars(text("select prediction_id from service.predictions"))}
        if set(answered) <= stored:
            break
        assert time.monotonic() < deadline, f"{len(set(answered) - stored)} of {len(answered)} are missing"
        time.sleep(0.2)
    engine.dispose()


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\n"], ids=["silent", "half a head"])
def test_1010_waiting_connections_do_not_affect_the_service(service: RunningService, sent: bytes):
    headers = service.user(f"caller-{len(sent)}")
    port = int(service.url.rpartition(":")[2])
    statuses: Counter[int] = Counter()
    with contextlib.ExitStack() as stack:
        for number in range(1_010):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            with contextlib.suppress(ConnectionError):
                client.sendall(sent)
            if number % 50 == 0:
                statuses[httpx2.get(f"{service.url}/health/live").status_code] += 1
        for _ in range(20):
            statuses[httpx2.get(f"{service.url}/health/ready").status_code] += 1
            statuses[httpx2.post(f"{service.url}/predict", json=TRIP, headers=headers).status_code] += 1
    assert set(statuses) == {200}


def test_no_secret_is_logged(service: RunningService):
    url = service.url
    login = {"username": "discreet", "password": PASSWORD}
    httpx2.post(f"{url}/register", json=login)
    httpx2.post(f"{url}/token", data={**login, "password": "a wrong but private one"})
    tokens = httpx2.post(f"{url}/token", data=login).json()
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    httpx2.get(f"{url}/me?token={tokens['access_token']}", headers=headers)
    httpx2.post(f"{url}/token/refresh", json={"refresh_token": tokens["refresh_token"]})
    httpx2.post(f"{url}/me/password", json={"current_password": PASSWORD, "new_password": "xx"}, headers=headers)
    httpx2.post(f"{url}/register", content=b'{"username": "x", "password": "' + PASSWORD.encode())
    lines = service.log.read_text()
    assert '"event":"login_failed"' in lines, "the test would be empty without the log"
    for secret in (PASSWORD, "a wrong but private one", tokens["access_token"], tokens["refresh_token"]):
        assert secret not in lines
    assert (service.log.parent / "secret_key").read_text() not in lines


def test_shutdown_completes_and_stores_running_requests(service: RunningService, home: Path, url: str):
    headers = service.user("last-one")
    rides = {"trips": [TRIP] * 10_000}
    with httpx2.Client(base_url=service.url, headers=headers, timeout=30) as client:
        client.get("/me")
        answers: list[httpx2.Response] = []
        asking = threading.Thread(target=lambda: answers.append(client.post("/predict/batch", json=rides)))
        asking.start()
        time.sleep(0.15)
        code = service.stop()
        asking.join()
    assert code in (0, -15)
    assert answers[0].status_code == 200
    ids = [row["prediction_id"] for row in answers[0].json()["results"]]
    engine = create_engine(database_url(Settings(home=home, database_url=None)))
    with engine.connect() as connection:
        count = text("select count(*) from service.predictions where prediction_id = any(cast(:ids as uuid[]))")
        assert connection.scalar(count, {"ids": ids}) == 10_000
    engine.dispose()


@pytest.mark.parametrize("workers", [1, 2])
def test_shutdown_stops_the_embedded_database(tmp_path: Path, workers: int):
    promote_model(tmp_path)
    with running(tmp_path, workers=workers) as service:
        server = psutil.Process(int((tmp_path / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
        assert service.stop() == 0
    assert not psutil.wait_procs([server], timeout=10)[1]


def test_service_refuses_to_start_without_a_valid_key(tmp_path: Path):
    import os
    import subprocess
    import sys

    environment = {
        **os.environ,
        "LOGITRACK_HOME": str(tmp_path),
        "LOGITRACK_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    for key, message in ((None, "LOGITRACK_SECRET_KEY is not set"), ("short", "at least 32 are needed")):
        given = {**environment, "LOGITRACK_SECRET_KEY": key} if key else environment
        done = subprocess.run([sys.executable, "-m", "logitrack_service"], env=given, capture_output=True, text=True)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
