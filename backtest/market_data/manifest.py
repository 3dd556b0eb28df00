"""Manifest: where the rows of a series came from, and what is known to be missing; kept apart from the rows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from backtest.errors import DataUnavailableError
from backtest.market_data.ranges import Range, holes, joined, without

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from backtest.market_data.series import Series

__all__ = ["Fetch", "Gap", "Manifest", "Refused", "Revision", "Year"]

_FORMAT = 1
_FETCHES_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Year:
    """What one file holds: rows, their SHA-256, first and last time, and the gaps between them."""

    rows: int
    sha256: str
    first: int
    last: int
    gaps: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Fetch:
    """One run that added rows: when (ISO, UTC), from where, how many, and the range it asked for."""

    at: str
    source: str
    rows: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A candle that the source sent and that contradicts itself; it is not in the store."""

    time: int
    why: str


@dataclass(frozen=True, slots=True)
class Revision:
    """Candles that a source later told differently, kept in a file of their own.

    ``taken`` says that they were made current by a repair; the file then holds what they replaced.
    """

    file: str
    rows: int
    first: int
    last: int
    seen: str
    source: str
    taken: bool = False


class Gap(NamedTuple):
    """Missing candles: where, how many, and whether the exchange was asked for them and had none."""

    start: int
    end: int
    candles: int
    asked: bool


@dataclass
class Manifest:
    """All that is known about a series beside its rows.

    Attributes
    ----------
    asked
        Stretches of time for which a source has answered: what is missing inside them does not exist there.
    years
        One entry for each file, by year.
    volume_known
        Whether a row with a volume was ever seen (L2.6); None in a manifest from before this was noted.
    """

    asked: list[Range] = field(default_factory=list)
    years: dict[str, Year] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    revisions: list[Revision] = field(default_factory=list)
    fetches: list[Fetch] = field(default_factory=list)
    volume_known: bool | None = False

    @property
    def first(self) -> int | None:
        """Time of the first row, or where there is none the first that was asked for; None for an empty manifest."""
        found = [year.first for year in self.years.values()] or [start for start, _ in self.asked]
        return min(found, default=None)

    def answered(self, ranges: list[Range]) -> None:
        """Note stretches for which a source has answered."""
        self.asked = joined([*self.asked, *ranges])

    def forget(self, part: Range) -> None:
        """Count a stretch of time as never asked for."""
        self.asked = [left for asked in self.asked for left in without(asked, [part])]

    def record(self, fetch: Fetch) -> None:
        """Note a run; what the same run adds later is put to the same entry."""
        last = self.fetches[-1] if self.fetches else None
        if last is not None and (last.at, last.source) == (fetch.at, fetch.source):
            start, end = min(last.start, fetch.start), max(last.end, fetch.end)
            self.fetches[-1] = Fetch(last.at, last.source, last.rows + fetch.rows, start, end)
        else:
            self.fetches = [*self.fetches, fetch][-_FETCHES_KEPT:]

    def refuse(self, candles: list[Refused]) -> None:
        """Note candles that contradict themselves, each time once."""
        known = {candle.time for candle in self.refused}
        self.refused += [candle for candle in candles if candle.time not in known]

    def gaps(self, time: NDArray[np.int64], length: int) -> list[Gap]:
        """Return the holes between ascending times, each split into what was asked for and what was not."""
        found = []
        for hole in holes(time, length):
            unasked = without(hole, self.asked)
            parts = [(part, True) for part in without(hole, unasked)] + [(part, False) for part in unasked]
            found += [Gap(*part, max(1, (part[1] - part[0]) // length), asked) for part, asked in sorted(parts)]
        return found

    def to_json(self, series: Series) -> bytes:
        """Return the manifest as indented JSON."""
        head = {"format": _FORMAT, "exchange": series.exchange, "symbol": series.symbol, "timeframe": series.timeframe}
        years = dict(sorted(self.years.items()))
        body = {**head, "kind": series.kind, **asdict(self), "years": {name: asdict(y) for name, y in years.items()}}
        return (json.dumps(body, indent=1) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes, name: str) -> Manifest:
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        DataUnavailableError
            For a file that is damaged or of a later version.
        """
        try:
            body: dict[str, Any] = json.loads(data)
            if body["format"] != _FORMAT:
                raise DataUnavailableError(f"{name} has format {body['format']!r}, this version reads {_FORMAT}")
            return cls(
                asked=[(int(start), int(end)) for start, end in body["asked"]],
                years={year: _year(entry) for year, entry in body["years"].items()},
                refused=[Refused(**entry) for entry in body["refused"]],
                revisions=[Revision(**entry) for entry in body["revisions"]],
                fetches=[Fetch(**entry) for entry in body["fetches"]],
                volume_known=_truth(body.get("volume_known")),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataUnavailableError(
                f"{name} is damaged ({error}); `backtest data repair` makes it again from the candle files"
            ) from error


def _year(entry: dict[str, Any]) -> Year:
    gaps = tuple((int(start), int(end)) for start, end in entry["gaps"])
    return Year(int(entry["rows"]), str(entry["sha256"]), int(entry["first"]), int(entry["last"]), gaps)


def _truth(value: object) -> bool | None:
    if value not in {None, True, False}:
        raise ValueError(f"volume_known was {value!r}")
    return None if value is None else bool(value)
