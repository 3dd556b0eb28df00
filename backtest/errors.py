"""Every exception this package raises on purpose, classed by what the caller does next.

BacktestError
├── InvalidSignalError            no venue would accept it: fix the call (field and value are named)
├── InvalidCandlesError           OHLCV rows that contradict themselves
├── InvalidSettingError           a parameter, profile, assumption or file name that cannot be used
├── DataUnavailableError          the exchange, the store or the disk has no such candles
├── StorageError                  the disk refused: nothing half-written was left behind
└── VenueError
    ├── RequestRejectedError      refused: sending it again cannot help
    │   └── UnauthorizedError     bad credentials or a redirect: halt everything
    ├── RateLimitedError          refused for now: send it again after ``retry_after`` seconds
    ├── VenueUnavailableError     never arrived: sending it again is safe
    └── OutcomeUnknownError       may have arrived: look before sending again

On the command line a user sees the sentence, never a traceback. ``exit_status``: 2 bad request, 3 the world failed,
4 an unknown outcome awaits a person.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "BacktestError",
    "DataUnavailableError",
    "InvalidCandlesError",
    "InvalidSettingError",
    "InvalidSignalError",
    "OutcomeUnknownError",
    "RateLimitedError",
    "RequestRejectedError",
    "StorageError",
    "UnauthorizedError",
    "VenueError",
    "VenueUnavailableError",
    "did_you_mean",
]


class BacktestError(Exception):
    """Anything this package refuses, in one sentence that names the value, the rule and the way out."""

    exit_status = 2


class InvalidSignalError(BacktestError):
    """A call that the Signal API would refuse for its own content.

    Attributes
    ----------
    field
        The API's name of the field, for example ``stop_loss``; empty where no single field is at fault.
    """

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class InvalidCandlesError(BacktestError):
    """OHLCV rows that contradict themselves.

    Attributes
    ----------
    row
        Position of the row at fault, with whose number the message begins; None where no single row is.
    """

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class InvalidSettingError(BacktestError):
    """A parameter, profile, assumption or file that cannot be used as given."""


class DataUnavailableError(BacktestError):
    """The exchange, the store or the disk has no such candles."""

    exit_status = 3


class StorageError(BacktestError):
    """The disk refused; nothing half-written was left behind."""

    exit_status = 3


class VenueError(BacktestError):
    """The venue did not perform a call."""

    exit_status = 3


class RequestRejectedError(VenueError):
    """Refused for its content: sending it again cannot help."""

    exit_status = 2


class UnauthorizedError(RequestRejectedError):
    """Bad credentials, or a redirect, which is never followed: halt everything."""


class RateLimitedError(VenueError):
    """Refused for now: send it again after ``retry_after`` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class VenueUnavailableError(VenueError):
    """Never arrived: sending it again is safe."""


class OutcomeUnknownError(VenueError):
    """May have arrived: look before sending again."""

    exit_status = 4


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `` Did you mean "x"?`` for the nearest known name, or an empty string where none is near."""
    near = get_close_matches(wrong, list(known), n=1, cutoff=0.5)
    return f' Did you mean "{near[0]}"?' if near else ""
