"""The Signal API's bodies and envelopes, field for field; the only place where prices are text."""

from __future__ import annotations

from backtest.wire.codec import body_of, call_from_body
from backtest.wire.endpoint import ENDPOINTS, Endpoint, endpoint_named, kind_of
from backtest.wire.json_text import json_bytes, read_object
from backtest.wire.refusal import MissingFieldError, result_type_of
from backtest.wire.request import Request, addressed, endpoint_of, is_parent, with_ref
from backtest.wire.tag import signal_tag, tag_of, with_tag

__all__ = [
    "ENDPOINTS",
    "Endpoint",
    "MissingFieldError",
    "Request",
    "addressed",
    "body_of",
    "call_from_body",
    "endpoint_named",
    "endpoint_of",
    "is_parent",
    "json_bytes",
    "kind_of",
    "read_object",
    "result_type_of",
    "signal_tag",
    "tag_of",
    "with_ref",
    "with_tag",
]
