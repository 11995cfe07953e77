"""The log of predictions: stored in the background, bounded, and honest about what it could not store.

A request puts its rows in a queue and goes on. A thread of its own writes them with COPY, so that neither a slow nor an
absent PostgreSQL ever holds up an answer. While PostgreSQL is away rows wait; when the queue is full the newest are
dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg
import structlog

from logitrack_assets.eta.artifact import PredictionBatch
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_service.observability import metrics

MAX_WAITING = 200_000  # rows; some 40 MB
PAUSE_SECONDS = 0.25  # between two writes
MAX_COPY_ROWS = 20_000
MAX_RENDERED_ROWS = 50
FLUSH_SECONDS = 5.0  # for the last rows at shutdown

COLUMNS = (
    "prediction_id, at, account_id, model_version, fleet, pickup_zone, dropoff_zone, pickup_at,"
    " distance_miles, duration_minutes, low_minutes, high_minutes, level, support, extrapolating"
)

log = structlog.get_logger("logitrack.predictions")


@dataclass(frozen=True)
class LoggedPredictions:
    """Predictions made at once: features, answers, version."""

    ids: list[str]
    account_ids: Sequence[int]
    model_version: str
    trips: TripBatch
    answers: PredictionBatch
    level: float
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __len__(self) -> int:
        return len(self.ids)

    def lines(self) -> Iterator[str]:
        """The rows in COPY's text format."""
        at_text = self.at.isoformat()
        columns = zip(
            self.ids,
            self.account_ids,
            self.trips.fleet.tolist(),
            self.trips.pickup_zone.tolist(),
            self.trips.dropoff_zone.tolist(),
            self.trips.pickup_at.astype(str).tolist(),
            self.trips.distance_miles.tolist(),
            self.answers.minutes.tolist(),
            self.answers.low.tolist(),
            self.answers.high.tolist(),
            self.answers.support.tolist(),
            self.answers.extrapolating.tolist(),
            strict=True,
        )
        for id_, account, fleet, pickup, dropoff, at, miles, minutes, low, high, support, extrapolating in columns:
            distance = "\\N" if miles != miles else miles
            yield (
                f"{id_}\t{at_text}\t{account}\t{self.model_version}\t{FLEETS[fleet]}\t{pickup}\t{dropoff}\t{at}\t{distance}\t"
                f"{minutes}\t{low}\t{high}\t{self.level}\t{support}\t{'t' if extrapolating else 'f'}\n"
            )


@dataclass(frozen=True)
class _Rendered:
    """A few predictions, written out at once: their arrays would take ten times the memory while they wait."""

    text: str
    rows: int

    def __len__(self) -> int:
        return self.rows

    def lines(self) -> Iterator[str]:
        yield self.text


class PredictionLog:
    """The queue and its writer."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._queue: deque[LoggedPredictions | _Rendered] = deque()
        self._rows = 0  # waiting; changed under the lock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._write_forever, name="prediction-log", daemon=True)

    @property
    def waiting(self) -> int:
        """Rows that are not stored yet."""
        return self._rows

    def start(self) -> None:
        """Starts the writer."""
        self._thread.start()

    def add(self, predictions: LoggedPredictions) -> None:
        """Queues rows; never waits. What does not fit is dropped and counted."""
        entry: LoggedPredictions | _Rendered = predictions
        if len(predictions) <= MAX_RENDERED_ROWS:
            entry = _Rendered("".join(predictions.lines()), len(predictions))
        with self._lock:
            fits = self._rows + len(predictions) <= MAX_WAITING
            if fits:
                self._queue.append(entry)
                self._rows += len(predictions)
        if fits:
            metrics.prediction_log_waiting.set(self._rows)
        else:
            metrics.prediction_log_rows.labels("dropped").inc(len(predictions))

    def stop(self) -> None:
        """Stores what is left, within a few seconds, and says what could not be stored."""
        self._stopping = True
        self._wake.set()
        self._thread.join(FLUSH_SECONDS + 5)
        if self._rows:
            metrics.prediction_log_rows.labels("dropped").inc(self._rows)
            log.error("predictions_not_logged", rows=self._rows)

    def _write_forever(self) -> None:
        deadline: float | None = None
        while True:
            self._wake.wait(PAUSE_SECONDS)
            if self._stopping and deadline is None:
                deadline = time.monotonic() + FLUSH_SECONDS
            while self._queue and self._write_some():
                pass
            if deadline is not None:
                if not self._queue or time.monotonic() > deadline:
                    break
                time.sleep(PAUSE_SECONDS)
        if self._connection is not None:
            self._connection.close()

    def _write_some(self) -> bool:
        """Writes the oldest rows; False when it is better to wait a while."""
        batch: list[LoggedPredictions | _Rendered] = []
        rows = 0
        for predictions in list(self._queue):
            if batch and rows + len(predictions) > MAX_COPY_ROWS:
                break
            batch.append(predictions)
            rows += len(predictions)
        try:
            self._store(batch)
            stored = "stored"
        except psycopg.OperationalError as error:
            log.warning("predictions_wait", rows=self._rows, error=type(error).__name__)
            self._forget_connection()
            return False
        except psycopg.Error as error:  # a row that PostgreSQL will never take must not hold up the others
            log.error("predictions_refused", rows=rows, error=str(error).splitlines()[0])
            self._forget_connection()
            stored = "refused"
        with self._lock:
            for _ in batch:
                self._queue.popleft()
            self._rows -= rows
        metrics.prediction_log_rows.labels(stored).inc(rows)
        metrics.prediction_log_waiting.set(self._rows)
        return True

    def _store(self, batch: list[LoggedPredictions | _Rendered]) -> None:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._dsn,
                connect_timeout=3,
                application_name="logitrack-predictions",
                options="-c statement_timeout=20s",
            )
        try:
            self._copy(f"service.predictions ({COLUMNS})", batch)
        except psycopg.errors.UniqueViolation:
            # The last write was stored though its answer got lost: what is new goes in, what is known is left out.
            self._connection.rollback()
            self._connection.execute("create temporary table again (like service.predictions) on commit drop")
            self._copy(f"again ({COLUMNS})", batch)
            self._connection.execute(
                f"insert into service.predictions ({COLUMNS}) select {COLUMNS} from again on conflict do nothing"
            )
        self._connection.commit()

    def _copy(self, target: str, batch: list[LoggedPredictions | _Rendered]) -> None:
        assert self._connection is not None
        with self._connection.cursor() as cursor, cursor.copy(f"copy {target} from stdin") as copy:
            for predictions in batch:
                copy.write("".join(predictions.lines()))

    def _forget_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
