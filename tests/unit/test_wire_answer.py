"""The venue's envelopes, read and written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backtest.wire.answer import performed, rate_limited, read_envelope, read_rate_limit, refused

DONE = {"parent_signal_id": "abc123", "result": "success"}

ANSWERS: dict[str, tuple[Any, bool, str | None]] = {
    "payload beside result": ({"result": {"type": "OPERATION_PERFORMED"}, "payload": DONE}, True, "abc123"),
    "payload inside result": ({"result": {"type": "OPERATION_PERFORMED", "payload": DONE}}, True, "abc123"),
    "with a ttl": ({"result": {"type": "OPERATION_PERFORMED", "ttl": 60}, "payload": DONE}, True, "abc123"),
    "with a ttl of another kind": (
        {"result": {"type": "OPERATION_PERFORMED", "ttl": "1 h"}, "payload": DONE},
        True,
        "abc123",
    ),
    "with keys of tomorrow": (
        {"result": {"type": "OPERATION_PERFORMED", "new": 1}, "payload": DONE | {"new": {}}, "new": []},
        True,
        "abc123",
    ),
    "without an id": ({"result": {"type": "OPERATION_PERFORMED"}, "payload": {"result": "success"}}, True, None),
    "another type": ({"result": {"type": "CRITICAL"}, "payload": DONE}, False, "abc123"),
    "not a success": (
        {"result": {"type": "OPERATION_PERFORMED"}, "payload": DONE | {"result": "failed"}},
        False,
        "abc123",
    ),
    "without a payload": ({"result": {"type": "OPERATION_PERFORMED"}}, False, None),
}


@pytest.mark.parametrize(("answer", "succeeded", "parent"), ANSWERS.values(), ids=ANSWERS)
def test_envelope_says_whether_it_was_performed(answer: Any, succeeded: bool, parent: str | None) -> None:
    envelope = read_envelope(json.dumps(answer).encode())
    assert envelope is not None
    assert envelope.succeeded is succeeded
    assert envelope.outcome.parent_signal_id == parent


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html></html>",
        b'{"result": {"type": "OPERATION_PER',
        b"[]",
        b"null",
        b'{"result": "OPERATION_PERFORMED"}',
        b'{"result": {"type": 5}}',
        b'{"result": {"type": "OPERATION_PERFORMED"}, "payload": {"parent_signal_id": 5, "result": "success"}}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_envelope_is_none(raw: bytes) -> None:
    assert read_envelope(raw) is None


@pytest.mark.parametrize(
    ("raw", "wait"),
    [
        (b'{"error":"Too many requests","retryAfterMs":1500}', 1500.0),
        (b'{"result":{"type":"RATE_LIMIT","error":"x","retryAfterMs":20}}', 20.0),
        (b'{"error":5,"retryAfterMs":"soon"}', None),
        (b'{"error":"x","retryAfterMs":true}', None),
        (b'{"result":{"type":"RATE_LIMIT"}}', None),
        (b"[]", None),
        (b"busy", None),
        (b"[" * 100_000, None),
    ],
)
def test_wait_of_a_429_is_read_from_either_envelope(raw: bytes, wait: float | None) -> None:
    assert read_rate_limit(raw).retryAfterMs == wait


def test_what_the_venue_writes_can_be_read() -> None:
    done = read_envelope(json.dumps(performed("abc123", ttl=60)).encode())
    assert done is not None
    assert done.succeeded
    assert (done.outcome.parent_signal_id, done.result.ttl) == ("abc123", 60)
    wrong = read_envelope(json.dumps(refused("INVALID_INPUT_CONTENT", "stop_loss was 5", "stop_loss")).encode())
    assert wrong is not None
    assert not wrong.succeeded
    assert performed("abc123")["result"] == {"type": "OPERATION_PERFORMED"}
    assert read_rate_limit(json.dumps(rate_limited(250)).encode()).retryAfterMs == 250
