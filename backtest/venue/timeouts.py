"""Timeouts: how long each part of an exchange may take, none of them endless."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from backtest.errors import InvalidSettingError

__all__ = ["Timeouts"]


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    Attributes
    ----------
    connect
        For the connection, and again for TLS; too late is "not sent".
    write, read
        For each piece that is written or read; too late is "unknown".
    pool
        For a free pooled connection; too late is "not sent".
    total
        From the first byte to the last, so that a venue that drips cannot hold the client; too late is "unknown".

    Raises
    ------
    InvalidSettingError
        Unless all are above 0 and finite, and ``total`` leaves room for connection and TLS.
    """

    connect: float = 5.0
    write: float = 10.0
    read: float = 10.0
    pool: float = 5.0
    total: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < math.inf:
                raise InvalidSettingError(f"timeout {field.name} is a finite number of seconds above 0, was {value!r}")
        if self.total < 2.0 * self.connect + self.pool:
            least = 2.0 * self.connect + self.pool
            raise InvalidSettingError(
                f"timeout total is at least pool + 2 x connect = {least:g} s, was {self.total:g}: a connection that is "
                "too slow would look like a lost answer"
            )
