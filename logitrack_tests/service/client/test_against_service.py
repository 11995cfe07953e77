"""The client against the real service: every operation, an expiring token, and types that agree with the service's."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import jwt
import msgspec
import pytest
from litestar.testing import TestClient

from logitrack_assets.database import database_url
from logitrack_assets.settings import Settings
from logitrack_service import zones
from logitrack_service.analytics import schemas as analytics
from logitrack_service.auth import schemas as auth
from logitrack_service.auth.keys import load_keys
from logitrack_service.auth.tokens import ALGORITHM
from logitrack_service.client import ApiError, LogitrackClient, Ride, models
from logitrack_service.predictions import schemas as predictions
from logitrack_service.settings import ServiceSettings
from logitrack_tests.service.client.conftest import forwarded_to
from logitrack_tests.service.conftest import PASSWORD, ServiceHome, User
from logitrack_tests.service.models import promote_model
from logitrack_tests.service.processes import free_port, running

AT = datetime(2019, 7, 1, 8, 30)


@pytest.fixture
def api(make_client: Callable[..., Any], client: TestClient, user: User) -> Any:
    """A client of the real service with a registered account."""
    return make_client(forwarded_to(client), user.username, PASSWORD)


def test_predictions_and_outcomes(api: Any) -> None:
    prediction = api.predict(161, 132, AT, distance_miles=10, fleet="yellow", level=0.5)
    assert prediction.estimated_duration_minutes == pytest.approx(10)
    assert prediction.interval.level == 0.5
    assert prediction.pickup_at.utcoffset() is not None
    assert api.report_outcome(prediction.prediction_id, 12.0).recorded == 1
    summary = api.report_outcomes([(prediction.prediction_id, 12.0), ("0190a2f4-5c3e-7b1d-8a2f-3c4d5e6f7a8b", 1.0)])
    assert (summary.already_known, summary.unknown) == (1, ["0190a2f4-5c3e-7b1d-8a2f-3c4d5e6f7a8b"])


def test_batches_with_an_invalid_ride(api: Any) -> None:
    result = api.predict_batch([Ride(161, 132, AT), {"pickup_zone": 999, "dropoff_zone": 132}, Ride(161, 138)])
    assert result.failed == 1
    assert result.rows[1].error is not None
    frame = result.to_pandas()
    assert list(frame.columns)[:3] == [
        "estimated_duration_minutes",
        "interval_low_minutes",
        "interval_high_minutes",
    ]
    assert frame["error"].notna().tolist() == [False, True, False]
    assert frame["estimated_duration_minutes"].dropna().tolist() == pytest.approx([20, 20])


def test_matrix_and_departures(api: Any) -> None:
    matrix = api.matrix([161, 162], [132, 138, 1], AT).to_pandas()
    assert matrix.shape == (2, 3)
    assert matrix.loc[162, 138] == pytest.approx(20)
    plan = api.departures(161, 132, AT, arrive_by=datetime(2019, 7, 1, 12), probability=0.9, hours=4, every_minutes=30)
    assert plan.leave_by is not None
    assert len(plan.to_pandas()) == len(plan.departures) > 1


def test_account_and_zones(api: Any, user: User) -> None:
    assert (api.me().username, api.me().role) == (user.username, "user")
    assert api.zones()[131].name == "JFK Airport"
    with pytest.raises(ApiError) as raised:
        api.register()
    assert raised.value.status == 409
    api.register(exist_ok=True)


def test_queries(make_client: Callable[..., Any], client: TestClient, analyst: User, user: User) -> None:
    api = make_client(forwarded_to(client), analyst.username, PASSWORD)
    result = api.query("select zone, borough from zones where zone = :zone", {"zone": 132})
    assert result.to_pandas().to_dict("records") == [{"zone": 132, "borough": "Queens"}]
    with pytest.raises(ApiError) as raised:
        make_client(forwarded_to(client), user.username, PASSWORD).query("select 1")
    assert raised.value.status == 403


def test_invalid_values_name_their_field(api: Any) -> None:
    with pytest.raises(ApiError, match="pickup_zone") as raised:
        api.predict(999, 132)
    assert [error.field for error in raised.value.errors] == ["pickup_zone"]


def expired(token: str, home: ServiceHome) -> str:
    """Return a token as it is two hours later, signed with the same key."""
    keys = load_keys(home.settings, ServiceSettings())
    claims = jwt.decode(token, options={"verify_signature": False})
    claims |= {name: claims[name] - 7_200 for name in ("iat", "nbf", "exp")}
    return jwt.encode(claims, keys.by_id[keys.current], algorithm=ALGORITHM, headers={"kid": keys.current})


def test_a_token_that_expires_in_mid_work_is_renewed(
    make_client: Callable[..., Any], client: TestClient, service_home: ServiceHome, user: User
) -> None:
    forward, seen = forwarded_to(client), []

    def expire(request: httpx2.Request) -> httpx2.Response:
        """Let the token of the second request expire on its way."""
        seen.append(request.url.path)
        if seen.count("/predict") == 2 and seen[-1] == "/predict":
            token = request.headers["authorization"].removeprefix("Bearer ")
            request.headers["authorization"] = f"Bearer {expired(token, service_home)}"
        return forward(request)

    api = make_client(expire, user.username, PASSWORD)
    before, after = api.predict(161, 132), api.predict(161, 132)
    assert after.prediction_id != before.prediction_id
    assert seen == ["/token", "/predict", "/predict", "/token/refresh", "/predict"]


@pytest.mark.long
def test_work_goes_on_while_the_service_restarts(tmp_path: Path) -> None:
    promote_model(tmp_path)
    database = Settings(home=tmp_path, database_url=None)
    database_url(database)  # this process keeps the embedded server running
    port = free_port()
    with running(tmp_path, workers=1, port=port) as first, LogitrackClient(first.url, "ada", PASSWORD) as api:
        api.register()
        api.predict(161, 132)
        first.process.kill()
        first.process.wait()
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(api.predict_batch, [Ride(161, 132)] * 10)
            time.sleep(0.5)
            assert not answer.done(), "the client waits for the service"
            with running(tmp_path, workers=1, port=port):
                assert answer.result(60).failed == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (models.Ride, predictions.Trip),
        (models.RidePrediction, predictions.PredictionResponse),
        (models.RideInterval, predictions.Interval),
        (models.BatchRow, predictions.BatchItem),
        (models.BatchAnswer, predictions.BatchResponse),
        (models.MatrixResult, predictions.MatrixResponse),
        (models.DeparturePlan, predictions.DeparturesResponse),
        (models.DepartureOption, predictions.Departure),
        (models.OutcomeSummary, predictions.OutcomeResponse),
        (models.QueryResult, analytics.QueryResponse),
        (models.ZoneInfo, zones.ZoneEntry),
        (models.AccountInfo, auth.Profile),
    ],
)
def test_types_agree_with_the_service(ours: type[msgspec.Struct], theirs: type[msgspec.Struct]) -> None:
    """A required field of the client has to be one of the service; others may come with a newer service."""
    service = {field.name: field for field in msgspec.structs.fields(theirs)}
    for field in msgspec.structs.fields(ours):
        assert field.name in service or not field.required, field.name
