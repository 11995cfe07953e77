"""HTTP handlers of /model and /models: what is served, every version, promotion and rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from logitrack_assets.eta.artifact import ArtifactError
from logitrack_assets.eta.gate_records import read_gates
from logitrack_assets.eta.live import LiveState, describe_state
from logitrack_assets.eta.registry import Champion, ModelRegistry
from logitrack_assets.eta.variant import Variant
from logitrack_service.auth.guards import require_admin
from logitrack_service.auth.tokens import Identity
from logitrack_service.errors import ConflictError, NotFoundError, UnavailableError
from logitrack_service.http.openapi import parameter_link, problem_responses
from logitrack_service.predictions.model_reloader import ModelReloader
from logitrack_service.predictions.model_schemas import (
    GateEntry,
    LiveStateResponse,
    LiveVariantState,
    ModelListResponse,
    ModelResponse,
    Promotion,
    PromotionRequest,
    RollbackRequest,
    VersionDetail,
    VersionEntry,
)

MAX_BODY_BYTES = 4_096
EXAMPLE_REASON = {"reason": "lower error on the newest month"}


@get("/model", responses=problem_responses(UnavailableError), summary="Get the loaded model", tags=["model"])
async def get_model(model_reloader: NamedDependency[ModelReloader]) -> ModelResponse:
    """Return the manifest of the loaded model: metrics, training months, features and intervals."""
    model = model_reloader.require_model()
    return ModelResponse(
        model_version=model.champion.version,
        champion=model.champion.model_dump(mode="json", exclude={"signature"}),
        loaded_at=datetime.fromtimestamp(model.loaded_at, UTC),
        card=model.predictor.manifest.model_dump(mode="json"),
    )


@get(
    "/model/live",
    responses=problem_responses(UnavailableError),
    summary="Get the live correction",
    tags=["model"],
)
async def get_live_state(model_reloader: NamedDependency[ModelReloader]) -> LiveStateResponse:
    """Return what the reported outcomes have taught the loaded model, and whether its correction is applied."""
    model = model_reloader.require_model()
    snapshot = model.live.snapshot
    state = describe_state(snapshot.state if snapshot is not None else LiveState())
    return LiveStateResponse(
        model_version=model.champion.version,
        position=snapshot.position if snapshot is not None else None,
        outcomes=state["outcomes"],
        excluded_accounts=state["excluded_accounts"],
        zones=msgspec.convert(state[Variant.ZONES], LiveVariantState),
        distance=msgspec.convert(state[Variant.DISTANCE], LiveVariantState),
    )


@get(
    "/models",
    response_links=parameter_link("getVersion", "Get the gates of a version.", version="$response.body#/serving"),
    summary="List versions and promotions",
    tags=["model"],
)
async def list_models(model_reloader: NamedDependency[ModelReloader]) -> ModelListResponse:
    """Return every version with its state and errors, and all promotions: which version, by whom, when and why."""
    versions, history = await asyncio.to_thread(_read_registry, model_reloader.registry)
    return ModelListResponse(model_reloader.version(), model_reloader.last_error, versions, history)


@get(
    "/models/{version:str}",
    responses=problem_responses(NotFoundError),
    summary="Get a version",
    tags=["model"],
)
async def get_version(version: FromPath[str], model_reloader: NamedDependency[ModelReloader]) -> VersionDetail:
    """Return a version with its gates, promotions, model card and manifest; two of them can be compared."""
    return await asyncio.to_thread(_read_version, model_reloader.registry, version)


@post(
    "/models/{version:str}/promote",
    guards=[require_admin],
    status_code=200,
    request_max_body_size=MAX_BODY_BYTES,
    request_example=EXAMPLE_REASON,
    responses=problem_responses(NotFoundError, ConflictError),
    summary="Promote a version",
    tags=["model"],
)
async def create_promotion(
    request: Request[Identity, Any, Any],
    version: FromPath[str],
    data: JSONBody[PromotionRequest],
    model_reloader: NamedDependency[ModelReloader],
) -> Promotion:
    """Serve a version from now on, in every worker within a second or two. Requires the role admin.

    A version whose gates did not pass is refused with 409 and their reasons, unless `force` is true; the history then
    says so. Where the service can only read the models folder, as in containers, promote with `logitrack model`.
    """
    registry = model_reloader.registry

    def promote() -> Champion:
        refusals = _refusals(registry, version)
        if refusals and not data.force:
            raise ConflictError(f"{version} was not promoted. {' '.join(refusals)}")
        reason = f"{data.reason} (forced; {' '.join(refusals)})" if refusals else data.reason
        return registry.promote(version, by=request.user.username, reason=reason)

    return await _change_champion(model_reloader, promote)


@post(
    "/models/rollback",
    guards=[require_admin],
    status_code=200,
    request_max_body_size=MAX_BODY_BYTES,
    request_example={"reason": "complaints about airport rides"},
    responses=problem_responses(ConflictError),
    summary="Roll back to the champion before",
    tags=["model"],
)
async def create_rollback(
    request: Request[Identity, Any, Any],
    data: JSONBody[RollbackRequest],
    model_reloader: NamedDependency[ModelReloader],
) -> Promotion:
    """Serve the champion before the present one again; a second rollback goes back one further.

    Requires the role admin. Without an earlier champion it is refused with 409.
    """
    registry = model_reloader.registry
    return await _change_champion(
        model_reloader, lambda: registry.rollback(by=request.user.username, reason=data.reason)
    )


async def _change_champion(model_reloader: ModelReloader, change: Callable[[], Champion]) -> Promotion:
    """Change the champion and load it in this worker; the others find it when they poll.

    Raises:
        ConflictError: The version cannot be loaded, or this process may not write the models folder.
    """
    try:
        champion = await asyncio.to_thread(change)
    except ArtifactError as error:
        raise ConflictError(str(error)) from None
    except OSError as error:
        raise ConflictError(
            f"The service cannot write the models folder ({error.strerror}): use `logitrack model` where models are "
            "trained."
        ) from None
    await model_reloader.poll()
    return Promotion.from_champion(champion)


def _read_registry(registry: ModelRegistry) -> tuple[list[VersionEntry], list[Promotion]]:
    versions = [VersionEntry.from_summary(summary) for summary in registry.listed()]
    return versions, [Promotion.from_champion(champion) for champion in reversed(registry.history())]


def _read_version(registry: ModelRegistry, version: str) -> VersionDetail:
    summary = next((summary for summary in registry.listed() if summary.version == version), None)
    if summary is None:
        raise NotFoundError("There is no such version.")
    try:
        card = registry.card(version)
    except ArtifactError:
        card = None
    return VersionDetail(
        VersionEntry.from_summary(summary),
        [GateEntry.from_record(record) for record in read_gates(registry, version)],
        [Promotion.from_champion(entry) for entry in reversed(registry.history()) if entry.version == version],
        card,
        summary.manifest.model_dump(mode="json") if summary.manifest else None,
    )


def _refusals(registry: ModelRegistry, version: str) -> list[str]:
    """Return why a version may not be promoted; a present or former champion may always be.

    Raises:
        NotFoundError: There is no such version.
    """
    summary = next((summary for summary in registry.listed() if summary.version == version), None)
    if summary is None:
        raise NotFoundError("There is no such version.")
    if summary.status == "rejected":
        return summary.reason.splitlines()
    if summary.status == "candidate":
        return ["Its gates have not been evaluated, or not all of them: `logitrack model promote` evaluates them."]
    return []  # of an unreadable version the promotion itself says what is wrong


routes = [get_model, get_live_state, list_models, get_version, create_promotion, create_rollback]
