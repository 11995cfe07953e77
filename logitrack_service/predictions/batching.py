"""Dynamic batching: concurrent single requests share one inference call.

One inference call costs nearly the same for one trip as for ten. The batch is flushed two event-loop iterations after
its first request, so it contains the requests that arrived while the loop was busy; a lone request pays no timer delay.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from logitrack_service.predictions import scoring
from logitrack_service.predictions.identifiers import PredictionIds
from logitrack_service.predictions.model_reloader import LoadedModel, ModelReloader
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.predictions.quotas import PredictionQuotas
from logitrack_service.predictions.schemas import PredictionRequest, PredictionResponse


@dataclass(frozen=True)
class _PendingRequest:
    request: PredictionRequest
    account_id: int
    response: asyncio.Future[PredictionResponse]


class DynamicBatcher:
    """Collects the single requests of one worker and predicts them together."""

    def __init__(
        self,
        model_reloader: ModelReloader,
        prediction_log: PredictionLog,
        prediction_ids: PredictionIds,
        quotas: PredictionQuotas,
    ) -> None:
        self._model_reloader = model_reloader
        self._prediction_log = prediction_log
        self._prediction_ids = prediction_ids
        self._quotas = quotas
        # Keyed by model: a request is answered by the model that was loaded when the request arrived.
        self._pending: defaultdict[tuple[LoadedModel, float], list[_PendingRequest]] = defaultdict(list)

    async def submit(self, request: PredictionRequest, account_id: int) -> PredictionResponse:
        """Return the prediction for a request; its log row is queued by then.

        Raises:
            UnavailableError: no model is loaded.
            RateLimitedError: the account has used up a quota.
        """
        model = self._model_reloader.require_model()
        self._quotas.admit(account_id, 1)
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(loop.call_soon, self._flush)  # two iterations from now
        pending = _PendingRequest(request, account_id, loop.create_future())
        self._pending[model, request.level].append(pending)
        return await pending.response

    def _flush(self) -> None:
        batches, self._pending = self._pending, defaultdict(list)
        for (model, level), batch in batches.items():
            try:
                responses, logged = scoring.predict_requests(
                    model,
                    [pending.request for pending in batch],
                    [pending.account_id for pending in batch],
                    level=level,
                    prediction_ids=self._prediction_ids,
                )
                self._prediction_log.add(logged)
            except Exception as error:  # every request of the batch fails and is logged as unhandled
                for pending in batch:
                    if not pending.response.done():
                        pending.response.set_exception(error)
                continue
            for pending, response in zip(batch, responses, strict=True):
                if not pending.response.done():  # done if the client disconnected
                    pending.response.set_result(response)
