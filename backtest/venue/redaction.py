"""Redaction: secrets taken out of text by their value, wherever they turn up."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import SecretStr

__all__ = ["Redactor"]

MASK = "[redacted]"


class Redactor(logging.Filter):
    """Replaces the secrets in a text, also where they are quoted for a URL or escaped for JSON.

    It is a logging filter too: added to a logger or a handler, it redacts the finished message.

    Parameters
    ----------
    secrets
        What may never be shown. The redactor shows none of them itself.
    """

    def __init__(self, secrets: Iterable[SecretStr]) -> None:
        super().__init__()
        self._secrets = tuple(secrets)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"

    def clean(self, text: str) -> str:
        """Return the text without a secret, nor the beginning of one at its end, where an answer was cut."""
        for secret in self._secrets:
            for form in _forms(secret.get_secret_value()):
                text = _without(text, form)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a log record, its traceback included."""
        record.msg, record.args = self.clean(record.getMessage()), None
        if record.exc_info:
            record.exc_text = self.clean(logging.Formatter().formatException(record.exc_info))
        return True


def _forms(secret: str) -> list[str]:
    """Return the ways in which a secret may be written, the longest first."""
    quoted, escaped = quote(secret, safe=""), json.dumps(secret)[1:-1]
    slashed = escaped.replace("/", "\\/")
    forms = {secret, quoted, quoted.lower(), escaped, slashed, slashed.replace("+", "\\u002b"), repr(secret)[1:-1]}
    return sorted(forms, key=len, reverse=True)


def _without(text: str, secret: str) -> str:
    text = text.replace(secret, MASK)
    for length in range(len(secret) - 1, 3, -1):
        if text.endswith(secret[:length]):
            return text[:-length] + MASK
    return text
