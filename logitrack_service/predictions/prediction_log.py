"""Background log of predictions.

Requests put their rows in a bounded queue; a dedicated thread writes them to PostgreSQL with COPY. An outage therefore
never delays a response: rows stay queued meanwhile, and when the queue is full new rows are dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog

from logitrack_assets.eta.artifact import PredictionBatch
from logitrack_assets.eta.features import FLEETS, TripBatch
from logitrack_service.observability import metrics
from logitrack_service.predictions.quotas import PredictionQuotas, add_predictions

MAX_QUEUED_ROWS = 200_000  # about 40 MB
WRITE_INTERVAL_SECONDS = 0.25
REFRESH_SECONDS = 2.0
MAX_COPY_ROWS = 20_000
MAX_RENDERED_ROWS = 50
FLUSH_TIMEOUT_SECONDS = 5.0  # at shutdown
JOIN_TIMEOUT_SECONDS = 10.0

COLUMNS = (
    "prediction_id, at, account_id, model_version, fleet, pickup_zone, dropoff_zone, pickup_at,"
    " distance_miles, duration_minutes, low_minutes, high_minutes, level, support, extrapolating, base_minutes,"
    " live_position"
)

log = structlog.get_logger("logitrack.predictions")


@dataclass(frozen=True)
class LoggedPredictions:
    """Predictions of one inference call: inputs, outputs, the model version and the position of its live state."""

    ids: list[str]
    account_ids: Sequence[int]
    model_version: str
    trips: TripBatch
    predictions: PredictionBatch
    level: float
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    live_position: int | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    def rows_by_account(self) -> Counter[int]:
        """Return the number of rows of each account."""
        return Counter(self.account_ids)

    def lines(self) -> Iterator[str]:
        """Yield the rows in the text format of COPY, in the order of `COLUMNS`."""
        at_text = self.at.isoformat()
        position = "\\N" if self.live_position is None else self.live_position
        columns = zip(
            self.ids,
            self.account_ids,
            self.trips.fleet.tolist(),
            self.trips.pickup_zone.tolist(),
            self.trips.dropoff_zone.tolist(),
            self.trips.pickup_at.astype(str).tolist(),
            self.trips.distance_miles.tolist(),
            self.predictions.minutes.tolist(),
            self.predictions.low.tolist(),
            self.predictions.high.tolist(),
            self.predictions.support.tolist(),
            self.predictions.extrapolating.tolist(),
            self.predictions.base_minutes.tolist(),
            strict=True,
        )
        for (
            id_,
            account,
            fleet,
            pickup,
            dropoff,
            at,
            miles,
            minutes,
            low,
            high,
            support,
            extrapolating,
            base,
        ) in columns:
            distance = "\\N" if miles != miles else miles  # NaN
            yield (
                f"{id_}\t{at_text}\t{account}\t{self.model_version}\t{FLEETS[fleet]}\t{pickup}\t{dropoff}\t{at}\t{distance}\t"
                f"{minutes}\t{low}\t{high}\t{self.level}\t{support}\t{'t' if extrapolating else 'f'}\t"
                f"{base}\t{position}\n"
            )


@dataclass(frozen=True)
class _RenderedRows:
    """A few rows as COPY text: while they are queued, their arrays would take ten times the memory."""

    text: str
    account_ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.account_ids)

    def rows_by_account(self) -> Counter[int]:
        return Counter(self.account_ids)

    def lines(self) -> Iterator[str]:
        yield self.text


class PredictionLog:
    """The queue and its writer thread."""

    def __init__(self, dsn: str, quotas: PredictionQuotas) -> None:
        """Create the queue without starting the thread.

        Args:
            dsn: address of the database, as psycopg takes it.
            quotas: receive the totals of the accounts whose rows were stored.
        """
        self._dsn = dsn
        self._quotas = quotas
        self._queue: deque[LoggedPredictions | _RenderedRows] = deque()
        self._queued_rows = 0  # written under the lock only
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._connection: psycopg.Connection[Any] | None = None
        self._refresh_at = 0.0  # of refused accounts, monotonic seconds
        self._thread = threading.Thread(target=self._write_forever, name="prediction-log", daemon=True)

    @property
    def queued_rows(self) -> int:
        """Number of rows that are not stored yet."""
        return self._queued_rows

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def add(self, predictions: LoggedPredictions) -> None:
        """Queue rows without blocking; rows that exceed `MAX_QUEUED_ROWS` are dropped and counted."""
        entry: LoggedPredictions | _RenderedRows = predictions
        if len(predictions) <= MAX_RENDERED_ROWS:
            entry = _RenderedRows("".join(predictions.lines()), predictions.account_ids)
        with self._lock:
            fits = self._queued_rows + len(predictions) <= MAX_QUEUED_ROWS
            if fits:
                self._queue.append(entry)
                self._queued_rows += len(predictions)
        if fits:
            metrics.prediction_log_waiting.set(self._queued_rows)
        else:
            metrics.prediction_log_rows.labels("dropped").inc(len(predictions))
            for account_id, rows in predictions.rows_by_account().items():
                self._quotas.release(account_id, rows)

    def stop(self) -> None:
        """Store the queued rows within `FLUSH_TIMEOUT_SECONDS`; log and count those that could not be stored."""
        self._stopping = True
        self._wake.set()
        self._thread.join(JOIN_TIMEOUT_SECONDS)
        if self._queued_rows:
            metrics.prediction_log_rows.labels("dropped").inc(self._queued_rows)
            log.error("predictions_not_logged", rows=self._queued_rows)

    def _write_forever(self) -> None:
        deadline: float | None = None
        while True:
            self._wake.wait(WRITE_INTERVAL_SECONDS)
            if self._stopping and deadline is None:
                deadline = time.monotonic() + FLUSH_TIMEOUT_SECONDS
            while self._queue and self._write_batch():
                pass
            self._refresh_refused_accounts()
            if deadline is not None:
                if not self._queue or time.monotonic() > deadline:
                    break
                time.sleep(WRITE_INTERVAL_SECONDS)
        if self._connection is not None:
            self._connection.close()

    def _write_batch(self) -> bool:
        """Write the oldest rows.

        Returns:
            False if PostgreSQL is unreachable, so the next attempt should wait.
        """
        batch, rows = self._next_batch()
        try:
            self._store(batch)
            outcome = "stored"
        except psycopg.OperationalError as error:
            log.warning("predictions_waiting", rows=self._queued_rows, error=type(error).__name__)
            self._close_connection()
            return False
        except psycopg.Error as error:  # PostgreSQL rejects these rows for good; they must not block the others
            log.error("predictions_refused", rows=rows, error=str(error).splitlines()[0])
            self._close_connection()
            outcome = "refused"
        with self._lock:
            for _ in batch:
                self._queue.popleft()
            self._queued_rows -= rows
        metrics.prediction_log_rows.labels(outcome).inc(rows)
        metrics.prediction_log_waiting.set(self._queued_rows)
        return True

    def _refresh_refused_accounts(self) -> None:
        """Read the totals of refused accounts every `REFRESH_SECONDS`: outcomes may have been reported elsewhere."""
        if time.monotonic() < self._refresh_at or not (refused := self._quotas.take_refused()):
            return
        self._refresh_at = time.monotonic() + REFRESH_SECONDS
        try:
            connection = self._connected()
            totals = add_predictions(connection, dict.fromkeys(sorted(refused), 0))
            connection.commit()
        except psycopg.Error as error:
            log.warning("usage_not_read", error=type(error).__name__)
            self._close_connection()
            return
        self._quotas.update({}, totals)

    def _next_batch(self) -> tuple[list[LoggedPredictions | _RenderedRows], int]:
        """Return the oldest entries, at most `MAX_COPY_ROWS` rows unless one entry is larger, and their row count."""
        batch: list[LoggedPredictions | _RenderedRows] = []
        rows = 0
        for entry in list(self._queue):
            if batch and rows + len(entry) > MAX_COPY_ROWS:
                break
            batch.append(entry)
            rows += len(entry)
        return batch, rows

    def _store(self, batch: list[LoggedPredictions | _RenderedRows]) -> None:
        connection = self._connected()
        written: Counter[int] = sum((entry.rows_by_account() for entry in batch), Counter())
        added: Mapping[int, int] = written
        try:
            _copy(connection, f"service.predictions ({COLUMNS})", batch)
        except psycopg.errors.UniqueViolation:
            # The previous attempt was committed but its confirmation was lost: insert the missing rows only.
            connection.rollback()
            connection.execute("create temporary table retried (like service.predictions) on commit drop")
            _copy(connection, f"retried ({COLUMNS})", batch)
            added = dict(
                connection.execute(
                    f"with inserted as (insert into service.predictions ({COLUMNS}) select {COLUMNS} from retried "
                    "on conflict do nothing returning account_id) "
                    "select account_id, count(*) from inserted group by account_id"
                ).fetchall()
            )
        totals = add_predictions(connection, {account_id: added.get(account_id, 0) for account_id in written})
        connection.commit()
        self._quotas.update(written, totals)

    def _connected(self) -> psycopg.Connection[Any]:
        """Return the connection, opened anew where it was closed.

        Raises:
            psycopg.OperationalError: PostgreSQL is unreachable.
        """
        if self._connection is None:
            self._connection = psycopg.connect(
                self._dsn,
                connect_timeout=3,
                application_name="logitrack-predictions",
                options="-c statement_timeout=20s",
            )
        return self._connection

    def _close_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _copy(connection: psycopg.Connection[Any], target: str, batch: list[LoggedPredictions | _RenderedRows]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"copy {target} from stdin") as copy:
        for entry in batch:
            copy.write("".join(entry.lines()))
