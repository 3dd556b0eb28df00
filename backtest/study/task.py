"""Task: some rows of a sweep as a message of a few hundred bytes, and the part that comes of it.

Whoever does a task needs the folder of parts alone. In it lie

::

    job-HASH.json       strategy (its source text), where the candles are, lane, profile, assumptions
    candles-HASH.parquet, rates-HASH.parquet    candles that are in no store
    part-HASH.parquet   figures and days of a task's rows, named by all that decides them, moved there in one step
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.history import MarketHistory
from backtest.errors import DataUnavailableError, InvalidSettingError
from backtest.market_data.columns import CANDLE_NAMES, RATE_NAMES
from backtest.market_data.parquet import candle_bytes, column_bytes, read_columns
from backtest.market_data.store import Store
from backtest.model.assumptions import VenueAssumptions
from backtest.model.candles import Candles
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.study.measured import FIGURES, Account, Measured
from backtest.study.shipping import Shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from backtest.market_data.disk import Disk
    from backtest.strategy import Strategy

__all__ = ["Job", "Origin", "Parts", "Task", "code_key", "plain_rows"]

_ROOMS = ("engine", "indicators.py", "model", "report", "runner", "strategy", "study")


@cache
def code_key() -> str:
    """Return a name for the code that decides figures: this package's, and the versions of numpy and TA-Lib."""
    import talib

    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for room in _ROOMS:
        place = root / room
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.relative_to(root).as_posix().encode())
            digest.update(file.read_bytes())
    digest.update(f"{np.__version__}|{talib.__version__}".encode())
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a process finds the candles of one market, and what they must be.

    Attributes
    ----------
    kind
        ``"store"``, ``"sample"``, or ``"parts"`` for a file in the folder of parts.
    place
        Folder or URL of the store; empty otherwise.
    exchange, symbol, timeframe
        Which series.
    start, end
        Open time of the first candle, and the end of the range, UTC ms.
    hash
        SHA-256 of the candles (:attr:`Candles.hash`).
    volume_known
        As of the candles.
    """

    kind: str
    place: str
    exchange: str
    symbol: str
    timeframe: str
    start: int
    end: int
    hash: str
    volume_known: bool

    @classmethod
    def of(cls, candles: Candles, kind: str = "parts", place: str = "") -> Origin:
        """Return the origin of candles; those of a store or of the sample were loaded from there."""
        known = bool(candles.volume_known)
        start, end = int(candles.time[0]), int(candles.time[-1]) + 1
        return cls(kind, place, candles.exchange, candles.symbol, candles.timeframe, start, end, candles.hash, known)

    def load(self, disk: Disk) -> Candles:
        """Return the candles.

        Raises
        ------
        DataUnavailableError
            Where they are not there, or are others than the sweep was started with.
        """
        if self.kind == "store":
            from backtest.market_data.load import load_candles

            found = load_candles(
                self.symbol,
                self.timeframe,
                exchange=self.exchange,
                start=self.start,
                end=self.end,
                store=self.place,
                incomplete=True,
            )
        elif self.kind == "sample":
            from backtest.market_data.sample import sample_candles

            found = sample_candles(self.symbol, self.timeframe).between(self.start, self.end)
        else:
            columns, _ = read_columns([disk.source(f"candles-{self.hash[:32]}.parquet")], CANDLE_NAMES)
            told: dict[str, Any] = {**columns, "exchange": self.exchange, "volume_known": self.volume_known}
            found = Candles(self.symbol, self.timeframe, **told)
        if found.hash != self.hash:
            where = self.place or self.kind
            raise DataUnavailableError(
                f"the candles of {self.symbol} {self.timeframe} in {where} are not those that the sweep was started with: "
                "start it again"
            )
        return found


@dataclass(frozen=True, slots=True)
class _Series:
    """One market: its rules, its candles, the finer ones and the funding rates (a hash of them, empty for none)."""

    market: dict[str, Any]
    candles: Origin
    detail: Origin | None
    rates: str

    @property
    def identity(self) -> list[Any]:
        """What of it decides figures."""
        return [self.market, self.candles.hash, self.detail.hash if self.detail else "", self.rates]


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of a sweep share, as plain values."""

    strategy: Shipped
    series: tuple[_Series, ...]
    lane: str
    profile: dict[str, Any]
    assumptions: dict[str, Any]
    kept: int
    code: str

    @classmethod
    def of(cls, strategy: Shipped, account: Account, parts: Parts, origins: Mapping[str, Origin] | None = None) -> Job:
        """Return the job of a sweep, its candles laid into the folder of parts where no store or sample has them.

        Parameters
        ----------
        strategy
            Its class.
        account
            Markets, lane, profile and assumptions.
        parts
            The folder.
        origins
            Where the candles of a symbol are, if not in memory alone.
        """
        series = tuple(
            _Series(
                history.market.to_dict(),
                (origins or {}).get(history.candles.symbol) or parts.lay(history.candles),
                None if history.detail is None else parts.lay(history.detail),
                parts.lay_rates(history.funding),
            )
            for history in account.histories
        )
        return cls(
            strategy,
            series,
            account.lane,
            account.profile.to_dict(),
            account.assumptions.to_dict(),
            account.kept,
            code_key(),
        )

    @property
    def identity(self) -> str:
        """What of the job decides figures, as canonical JSON: not where candles lie, nor what is kept in memory."""
        series = [one.identity for one in self.series]
        decides = [self.strategy.digest, series, self.lane, self.profile, self.assumptions, self.code]
        return json.dumps(decides, sort_keys=True)

    def to_bytes(self) -> bytes:
        """Return the job as JSON."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Job:
        """Return the job of :meth:`to_bytes`."""
        values = json.loads(data)
        values["strategy"] = Shipped(**values["strategy"])
        values["series"] = tuple(
            _Series(
                one["market"],
                Origin(**one["candles"]),
                None if one["detail"] is None else Origin(**one["detail"]),
                one["rates"],
            )
            for one in values["series"]
        )
        return cls(**values)

    def account(self, parts: Parts) -> Account:
        """Load the markets and return what the rows are run on."""
        histories = [
            MarketHistory(
                Market.from_dict(one.market),
                one.candles.load(parts.disk),
                None if one.detail is None else one.detail.load(parts.disk),
                parts.rates(one.rates),
            )
            for one in self.series
        ]
        profile, assumptions = (
            SubscriberProfile.from_dict(self.profile),
            VenueAssumptions.from_dict(self.assumptions),
        )
        return Account(histories, self.lane, profile, assumptions, self.kept)


@dataclass(frozen=True, slots=True)
class Task:
    """Some rows of a job: all that is sent to whoever runs them.

    Attributes
    ----------
    place
        The folder of parts.
    job
        Name of the job's file in it.
    part
        Name of the part to make.
    rows
        The parameters of each row, packed.
    """

    place: str
    job: str
    part: str
    rows: str

    @classmethod
    def of(cls, parts: Parts, job: str, identity: str, rows: Sequence[Mapping[str, Any]]) -> Task:
        """Return the task of some rows of a job, which :attr:`Job.identity` names the part of."""
        text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
        name = hashlib.sha256(f"{identity}\n{text}".encode()).hexdigest()[:32]
        return cls(str(parts), job, f"part-{name}.parquet", _packed(rows))

    def parameters(self) -> list[dict[str, Any]]:
        """Return the parameters of each row."""
        count, same, varied = json.loads(zlib.decompress(base64.b85decode(self.rows)))
        return [{**same, **{name: values[k] for name, values in varied.items()}} for k in range(count)]


def _packed(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as text: what all share once, the rest column by column."""
    same = {name: value for name, value in rows[0].items() if all(row[name] == value for row in rows)}
    varied = {name: [row[name] for row in rows] for name in rows[0] if name not in same}
    return base64.b85encode(zlib.compress(json.dumps([len(rows), same, varied]).encode(), 9)).decode()


class Parts:
    """The folder in which tasks, jobs and parts meet: local, or any fsspec URL that all machines reach.

    Parameters
    ----------
    place
        The folder or URL.
    """

    def __init__(self, place: str) -> None:
        self.disk: Disk = Store(place).disk
        self._names: set[str] | None = None

    def __str__(self) -> str:
        return str(self.disk)

    def names(self) -> set[str]:
        """Return what lies in the folder, as it was when it was first asked for, and what was laid there since."""
        if self._names is None:
            self._names = set(self.disk.names(""))
        return self._names

    def _lay(self, name: str, data: Callable[[], bytes | memoryview]) -> str:
        """Write a file that is named by its content, unless it lies there; return its name."""
        if name not in self.names():
            self.disk.write(name, data())
            self.names().add(name)
        return name

    def put_job(self, job: Job) -> str:
        """Write a job and return its name, that of its content."""
        data = job.to_bytes()
        return self._lay(f"job-{hashlib.sha256(data).hexdigest()[:32]}.json", lambda: data)

    def job(self, name: str) -> Job:
        """Return a job by its name.

        Raises
        ------
        DataUnavailableError
            Where it is not there, as where machines do not share the folder, or is not what it was.
        """
        data = self.disk.read(name)
        if data is None:
            raise DataUnavailableError(
                f"there is no {name} in {self}: the folder of --parts must be one that all machines share, or a URL"
            )
        if hashlib.sha256(data).hexdigest()[:32] != name[4:-5]:
            raise DataUnavailableError(f"{self}/{name} was changed after it was written: start the sweep again")
        return Job.from_bytes(data)

    def lay(self, candles: Candles) -> Origin:
        """Write candles that are in memory alone, and return where they are."""
        origin = Origin.of(candles)
        self._lay(f"candles-{origin.hash[:32]}.parquet", lambda: candle_bytes(candles))
        return origin

    def lay_rates(self, funding: Any) -> str:
        """Write funding rates and return their hash, empty where there are none."""
        if not len(funding):
            return ""
        digest = hashlib.sha256(np.ascontiguousarray(funding).data).hexdigest()[:32]
        columns = {"time": funding[:, 0].astype(np.int64), "rate": np.ascontiguousarray(funding[:, 1])}
        self._lay(f"rates-{digest}.parquet", lambda: column_bytes(columns, {}))
        return digest

    def rates(self, digest: str) -> Any:
        """Return funding rates by their hash."""
        if not digest:
            return np.empty((0, 2))
        columns, _ = read_columns([self.disk.source(f"rates-{digest}.parquet")], RATE_NAMES)
        return np.column_stack([columns["time"].astype(np.float64), columns["rate"]])

    def write(self, name: str, measured: Measured) -> None:
        """Put a part in its place in one step."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows, days = measured.daily.shape
        values: dict[str, Any] = {column: measured.figures[:, k].copy() for k, column in enumerate(FIGURES)}
        values["refused"] = pa.array([measured.refused.get(k, "") for k in range(rows)], pa.string())
        values["daily"] = pa.FixedSizeListArray.from_arrays(pa.array(measured.daily.reshape(-1)), days)
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(values), sink, compression="zstd", write_statistics=False, write_page_checksum=True)
        self.disk.write(name, memoryview(sink.getvalue()))

    def read(self, name: str) -> Measured | None:
        """Return a part, None for one that is not there or not whole: it is made again."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.disk.source(name), page_checksum_verification=True)
            figures = np.column_stack([table.column(column).to_numpy() for column in FIGURES])
            daily = table.column("daily").combine_chunks()
            flat = np.asarray(daily.flatten()).reshape(len(figures), -1)
            refused = {k: text for k, text in enumerate(table.column("refused").to_pylist()) if text}
        except (OSError, KeyError, ValueError, pa.ArrowException):
            return None
        return Measured(figures, flat, refused)


def plain_rows(strategies: Sequence[Strategy]) -> list[dict[str, Any]]:
    """Return the parameters of strategies as JSON values that make the same strategies again.

    Raises
    ------
    InvalidSettingError
        For a parameter that JSON does not carry.
    """
    rows = []
    for one in strategies:
        row = json.loads(json.dumps(one.parameters))
        if type(one)(**row) != one:
            raise InvalidSettingError(
                f"{type(one).__name__} has a parameter that plain JSON does not carry, so that it cannot be sent to another "
                f"process: {row}; run the sweep in one process"
            )
        rows.append(row)
    return rows
