"""Questions that arrive at the same moment, answered by one run of the model.

A run costs nearly the same for one ride as for ten. While the event loop was busy several requests may have come in;
their handlers reach this place within two turns of the loop, and the turn after those answers them together. A question
that comes alone waits for nobody but the loop's look at its sockets.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from logitrack_service.predictions import scoring
from logitrack_service.predictions.model_reloader import LoadedModel
from logitrack_service.predictions.prediction_log import PredictionLog
from logitrack_service.predictions.schemas import PredictionRequest, PredictionResponse


@dataclass(frozen=True)
class _Asked:
    question: PredictionRequest
    account_id: int
    answer: asyncio.Future[PredictionResponse]


class DynamicBatcher:
    """Single questions of one worker, on their way to the model and to the log."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        # By model as well: one that is swapped in meanwhile answers only what was asked after it.
        self._waiting: defaultdict[tuple[LoadedModel, float], list[_Asked]] = defaultdict(list)

    async def ask(self, serving: LoadedModel, question: PredictionRequest, account_id: int) -> PredictionResponse:
        """The answer to a question; it is in the log's queue by then."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(loop.call_soon, self._answer_all)  # not in the next turn: in the one after it
        asked = _Asked(question, account_id, loop.create_future())
        self._waiting[serving, question.level].append(asked)
        return await asked.answer

    def _answer_all(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        for (serving, level), group in waiting.items():
            try:
                answers, logged = scoring.predict_requests(
                    serving,
                    [asked.question for asked in group],
                    [asked.account_id for asked in group],
                    level=level,
                )
                self._log.add(logged)
            except Exception as error:  # each request fails for itself, with what went wrong in the log
                for asked in group:
                    if not asked.answer.done():
                        asked.answer.set_exception(error)
                continue
            for asked, answer in zip(group, answers, strict=True):
                if not asked.answer.done():  # its client may have gone
                    asked.answer.set_result(answer)
