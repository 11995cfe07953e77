"""Prediction ids are UUIDs of version 7 that the service recognises by a code."""

from __future__ import annotations

import time
from uuid import RFC_4122, UUID

from logitrack_service.auth.keys import Keys
from logitrack_service.predictions.identifiers import PredictionIds, is_plausible_id

OLD, NEW = b"an old key of more than thirty-two bytes", b"a new key of more than thirty-two bytes"
BEFORE, AFTER = Keys("old", {"old": OLD}), Keys("new", {"new": NEW, "old": OLD})


def test_ids_are_distinct_and_of_version_7():
    ids = [UUID(text) for text in PredictionIds(AFTER).issue([1] * 10_000)]
    assert len(set(ids)) == 10_000
    for id_ in ids:
        assert (id_.version, id_.variant) == (7, RFC_4122)
        assert abs((id_.int >> 80) - time.time() * 1000) < 10_000
        assert is_plausible_id(id_)


def test_id_is_recognised_for_its_account_only():
    issuer = PredictionIds(AFTER)
    for account_id, text in zip([1, 2, 1], issuer.issue([1, 2, 1]), strict=True):
        assert issuer.is_issued_to(account_id, UUID(text))
        assert not issuer.is_issued_to(account_id + 1, UUID(text))


def test_any_altered_bit_makes_an_id_unknown():
    issuer = PredictionIds(AFTER)
    value = UUID(issuer.issue([1])[0]).int
    version_and_variant = {*range(76, 80), 62, 63}
    for bit in set(range(128)) - version_and_variant:
        assert not issuer.is_issued_to(1, UUID(int=value ^ 1 << bit))


def test_ids_of_the_previous_key_are_recognised_after_a_rotation():
    before = UUID(PredictionIds(BEFORE).issue([1])[0])
    assert PredictionIds(AFTER).is_issued_to(1, before)
    after = UUID(PredictionIds(AFTER).issue([1])[0])
    assert not PredictionIds(BEFORE).is_issued_to(1, after)
