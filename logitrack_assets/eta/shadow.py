"""A challenger in shadow: it answers the questions that the champion answered, and their outcomes decide.

Outcomes come in minutes or days after the question, and an artifact answers the same question with the same numbers
at any time. So the challenger answers when the outcome is known, in the daemon, and no request waits for it. Answers
without live correction are compared: the correction follows the champion.

A challenger is a candidate on its way to promotion, or the former champion after a promotion: when it proves better
than its successor, the promotion is taken back.

    models/shadow.json    the comparison under way or just ended; replaced by one rename
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psycopg
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from logitrack_assets.eta.artifact import ArtifactError, Predictor
from logitrack_assets.eta.evaluation.sequential import Evidence
from logitrack_assets.eta.features import TripBatch
from logitrack_assets.eta.live_error import MIN_ACCOUNT_OUTCOMES
from logitrack_assets.eta.registry import ModelRegistry
from logitrack_assets.files import exclusive_lock, write_atomic

MAX_SHADOW_DAYS = 30
BATCH_OUTCOMES = 5_000
SETTLED_SECONDS = 10
"""Outcomes younger than this are read later: their transactions may still be under way."""

MAX_ACCOUNT_SHARE = 1 / 3
_OUTCOMES = """
    select prediction_id::text, reported_at, account_id, pickup_zone, dropoff_zone, pickup_at, distance_miles, fleet,
           real_minutes
    from service.evaluated_outcomes
    where counted and (reported_at, prediction_id) > (%(after)s, %(after_id)s::uuid)
      and reported_at < now() - make_interval(secs => %(settled)s)
    order by reported_at, prediction_id
    limit %(rows)s
"""
_FIRST_ID = "00000000-0000-0000-0000-000000000000"

Purpose = Literal["promotion", "recall"]
Result = Literal["better", "no evidence", "stopped"]


class Shadow(BaseModel):
    """A comparison of a challenger with the champion.

    Attributes:
        version: The challenger.
        champion: The champion that it is compared with.
        purpose: What follows if it is better: its promotion, or the recall of the champion that replaced it.
        since: When it began, UTC.
        by: Who began it.
        outcomes: Number of outcomes that were compared.
        gain_sum: Sum of the challenger's gains in minutes.
        gain_squares: Sum of their squares.
        log_wealth: See `Evidence`.
        accounts: Outcomes of each account.
        read_through: When the last outcome that was read was reported.
        read_id: Its prediction.
        result: How it ended; None while it is under way.
    """

    model_config = ConfigDict(extra="forbid")

    version: str
    champion: str
    purpose: Purpose
    since: datetime
    by: str
    outcomes: int = 0
    gain_sum: float = 0.0
    gain_squares: float = 0.0
    log_wealth: float = 0.0
    accounts: dict[int, int] = Field(default_factory=dict)
    read_through: datetime
    read_id: str = _FIRST_ID
    result: Result | None = None

    @property
    def evidence(self) -> Evidence:
        """The evidence so far."""
        return Evidence(self.outcomes, self.gain_sum, self.gain_squares, self.log_wealth)

    @property
    def summary(self) -> str:
        """The state in one sentence."""
        mean = self.evidence.mean_gain_minutes
        better = f"{abs(mean):.3f} minutes {'nearer' if mean >= 0 else 'farther off'} than {self.champion}"
        ended = f", ended: {self.result}" if self.result else ""
        return f"{self.version} in shadow: {better} over {self.outcomes:,} outcomes{ended}"


@dataclass(frozen=True)
class Outcomes:
    """Finished rides that count, in the order of their reports.

    Attributes:
        trips: The questions.
        minutes: float64, real duration.
        account: int64, who reported it.
        read_through: When the last one was reported.
        read_id: Its prediction.
    """

    trips: TripBatch
    minutes: NDArray[np.float64]
    account: NDArray[np.int64]
    read_through: datetime
    read_id: str


class ShadowFile:
    """The comparison of a registry; construction reads nothing."""

    def __init__(self, models: ModelRegistry) -> None:
        self._models = models
        self._path: Path = models.folder / "shadow.json"

    def read(self) -> Shadow | None:
        """Return the comparison under way or ended last; None before the first."""
        try:
            return Shadow.model_validate_json(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def begin(self, version: str, *, by: str, purpose: Purpose = "promotion") -> Shadow:
        """Compare a version with the champion from now on, in place of an earlier comparison.

        Raises:
            ArtifactError: There is no such version, no champion, or the version is the champion.
        """
        with self._lock():
            return self._begin(version, by=by, purpose=purpose)

    def stop(self) -> Shadow | None:
        """End the comparison under way without a decision; return it, or None where there was none."""
        with self._lock():
            shadow = self.read()
            if shadow is None or shadow.result:
                return None
            return self._write(shadow.model_copy(update={"result": "stopped"}))

    def advance(self, connection: psycopg.Connection[Any]) -> Shadow | None:
        """Compare the outcomes that came in, and promote, recall or drop when they decide; return the comparison.

        After a promotion the former champion is the next challenger. Only one process advances at a time.

        Raises:
            ArtifactError: A version cannot be loaded.
        """
        with self._lock():
            shadow = self._current()
            if shadow is None or shadow.result:
                return shadow
            outcomes = read_outcomes(connection, shadow)
            if outcomes is not None:
                champion, challenger = self._models.load(shadow.champion), self._models.load(shadow.version)
                shadow = compare(shadow, outcomes, champion, challenger)
            return self._write(self._decided(shadow))

    def _current(self) -> Shadow | None:
        """Return the comparison with the present champion; begin one with its predecessor after a promotion."""
        champion, shadow = self._models.champion(), self.read()
        if champion is None or (shadow is not None and shadow.champion == champion.version):
            return shadow
        if champion.previous is None or champion.kind == "rollback":
            return None
        return self._begin(champion.previous, by=f"promotion of {champion.version}", purpose="recall")

    def _decided(self, shadow: Shadow) -> Shadow:
        """Carry out what the evidence says."""
        decision = shadow.evidence.decision
        if decision == "undecided" and (datetime.now(UTC) - shadow.since).days < MAX_SHADOW_DAYS:
            return shadow
        ended = shadow.model_copy(update={"result": "better" if decision == "better" else "no evidence"})
        reason = f"{ended.evidence.mean_gain_minutes:.3f} minutes nearer over {ended.outcomes:,} outcomes"
        if decision == "better" and shadow.purpose == "promotion":
            self._models.promote(shadow.version, by="shadow comparison", reason=f"{reason} than {shadow.champion}")
        elif decision == "better":
            self._models.rollback(by="shadow comparison", reason=f"{reason} than {shadow.champion}")
        elif shadow.purpose == "promotion":
            self._models.record_rejection(
                shadow.version, f"shadow: no evidence that it is better than {shadow.champion}: {reason}"
            )
        return ended

    def _begin(self, version: str, *, by: str, purpose: Purpose) -> Shadow:
        champion = self._models.champion()
        if champion is None:
            raise ArtifactError("There is no champion to compare with: promote a version first.")
        if champion.version == version:
            raise ArtifactError(f"{version} is the champion.")
        self._models.load(version)
        now = datetime.now(UTC)
        return self._write(
            Shadow(version=version, champion=champion.version, purpose=purpose, since=now, by=by, read_through=now)
        )

    def _write(self, shadow: Shadow) -> Shadow:
        write_atomic(self._path, shadow.model_dump_json(indent=2) + "\n")
        return shadow

    def _lock(self) -> AbstractContextManager[None]:
        self._models.folder.mkdir(parents=True, exist_ok=True)
        return exclusive_lock(self._models.folder / ".shadow.lock")


def read_outcomes(connection: psycopg.Connection[Any], shadow: Shadow) -> Outcomes | None:
    """Return the next outcomes that count, whichever version answered the ride; None when there are none."""
    rows: Sequence[tuple[Any, ...]] = connection.execute(
        _OUTCOMES,
        {
            "after": shadow.read_through,
            "after_id": shadow.read_id,
            "settled": SETTLED_SECONDS,
            "rows": BATCH_OUTCOMES,
        },
    ).fetchall()
    if not rows:
        return None
    ids, reported_at, account, pickup, dropoff, pickup_at, miles, fleet, minutes = zip(*rows, strict=True)
    return Outcomes(
        TripBatch.from_columns(pickup, dropoff, pickup_at, [row or np.nan for row in miles], fleet),
        np.array(minutes, dtype=np.float64),
        np.array(account, dtype=np.int64),
        reported_at[-1],
        ids[-1],
    )


def compare(shadow: Shadow, outcomes: Outcomes, champion: Predictor, challenger: Predictor) -> Shadow:
    """Return the comparison with more outcomes.

    An account beyond `MAX_ACCOUNT_SHARE` of at least three accounts adds nothing until the others have caught up, so
    that no single one decides; whether an outcome counts depends on earlier ones only, as the test demands.
    The first `MIN_ACCOUNT_OUTCOMES` of each account always count.
    """
    evidence, accounts = shadow.evidence, dict(shadow.accounts)
    gains = np.abs(champion.minutes(outcomes.trips) - outcomes.minutes)
    gains -= np.abs(challenger.minutes(outcomes.trips) - outcomes.minutes)
    for account, gain in zip(outcomes.account.tolist(), gains.tolist(), strict=True):
        if evidence.decision != "undecided":
            break
        counted = accounts.get(account, 0)
        if counted >= MIN_ACCOUNT_OUTCOMES and len(accounts) >= 3 and counted > MAX_ACCOUNT_SHARE * evidence.outcomes:
            continue
        accounts[account] = counted + 1
        evidence.add(gain)
    return shadow.model_copy(
        update={
            "outcomes": evidence.outcomes,
            "gain_sum": float(evidence.gain_sum),
            "gain_squares": float(evidence.gain_squares),
            "log_wealth": float(evidence.log_wealth),
            "accounts": accounts,
            "read_through": outcomes.read_through,
            "read_id": outcomes.read_id,
        }
    )
