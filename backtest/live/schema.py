"""Schema: the tables of the journal, the rows that they hold, and what may never be changed in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtest.market_data.series import Series
from backtest.model.timeframe import milliseconds
from backtest.wire import kind_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtest.model.calls import Call
    from backtest.model.market import Market
    from backtest.runner.decision import Refusal

__all__ = [
    "CHAINED",
    "SCHEMA",
    "SEALED",
    "VERSION",
    "WAITING",
    "Code",
    "Cursor",
    "Decided",
    "Run",
    "Seen",
    "SignalRow",
    "Stream",
    "Told",
]

VERSION = 4

WAITING = "state IN ('planned', 'sending', 'unknown')"
"""What a question about these states must say word for word, so that the index of the waiting few answers it."""

CHAINED = {
    "run": ("id", "started_at", "mode", "account", "code_hash", "config_hash"),
    "series": ("id", "exchange", "symbol", "timeframe", "volumes"),
    "seen": ("id", "series", "time", "revision", "open", "high", "low", "close", "volume", "source", "arrived"),
    "intent": (
        *("seq", "id", "strategy", "symbol", "timeframe", "candle", "kind", "ref", "number", "body", "valid_until"),
        *("allow_marketable", "class"),
    ),
    "event": ("id", "at", "intent", "state", "note", "parent_signal_id"),
    "attempt": ("id", "intent", "phase", "at", "outcome", "http_status", "result_type", "error", "response"),
    "decision": ("id", "intent", "at", "state", "parent_signal_id"),
    "told": ("id", "strategy", "intent", "outcome", "entered", "close", "reason"),
    "refusal": (
        *("id", "strategy", "symbol", "timeframe", "close", "kind", "ref", "call", "field", "value", "reason", "rule"),
    ),
    "anchor": ("id", "strategy", "symbol", "timeframe", "close", "anchor"),
    "rules": ("id", "strategy", "symbol", "timeframe", "close", "market"),
    "code": ("id", "strategy", "at", "close", "name", "parameters", "code_hash", "profile", "accepted"),
}
"""By table: what its chain of hashes covers, in the order in which the rows were written (the first column)."""

SEALED = {
    "cursor": ("strategy", "symbol", "timeframe", "series", "anchor", "moved", "time", "close", "row_hash"),
    "signal": ("ref", "strategy", "symbol", "tag", "parent_signal_id", "state", "wished", "confirmed"),
}
"""Tables whose rows change: each row carries a hash of itself."""

_APPEND_ONLY = """
CREATE TRIGGER {table}_is_kept BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append only'); END;
CREATE TRIGGER {table}_is_final BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append only'); END;
"""

_TABLES = f"""
CREATE TABLE run (
    id INTEGER PRIMARY KEY, started_at INTEGER NOT NULL, mode TEXT NOT NULL, account TEXT NOT NULL,
    code_hash TEXT NOT NULL, config_hash TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE series (
    id INTEGER PRIMARY KEY, exchange TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    volumes INTEGER NOT NULL CHECK (volumes IN (0, 1)), hash TEXT NOT NULL, UNIQUE (exchange, symbol, timeframe));
CREATE TABLE seen (
    id INTEGER PRIMARY KEY, series INTEGER NOT NULL REFERENCES series, time INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0, open REAL, high REAL, low REAL, close REAL, volume REAL,
    source TEXT NOT NULL CHECK (source IN ('history', 'websocket', 'rest', 'missing')),
    arrived INTEGER NOT NULL, hash TEXT NOT NULL, UNIQUE (series, time, revision));
CREATE TABLE cursor (
    strategy TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL, series INTEGER NOT NULL REFERENCES series,
    anchor INTEGER NOT NULL, moved INTEGER NOT NULL, time INTEGER NOT NULL, close REAL, row_hash TEXT NOT NULL,
    hash TEXT NOT NULL, PRIMARY KEY (strategy, symbol, timeframe));
CREATE TABLE signal (
    ref TEXT NOT NULL, strategy TEXT NOT NULL, symbol TEXT NOT NULL, tag TEXT, parent_signal_id TEXT UNIQUE,
    state TEXT NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'living', 'unknown', 'dead', 'canceled', 'ended')),
    wished TEXT NOT NULL, confirmed TEXT NOT NULL DEFAULT '{{}}', hash TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (strategy, ref));
CREATE INDEX signal_open ON signal (state, symbol) WHERE state IN ('living', 'unknown');
CREATE TABLE intent (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, strategy TEXT NOT NULL, symbol TEXT NOT NULL,
    timeframe TEXT NOT NULL, candle INTEGER NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL, number INTEGER NOT NULL,
    body TEXT NOT NULL, valid_until INTEGER, allow_marketable INTEGER NOT NULL DEFAULT 0,
    class TEXT NOT NULL CHECK (class IN ('N', 'I')), hash TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'sending', 'acked', 'rejected', 'unknown',
        'expired', 'superseded', 'blocked', 'landed', 'not_landed', 'abandoned')),
    note TEXT NOT NULL DEFAULT '', FOREIGN KEY (strategy, ref) REFERENCES signal (strategy, ref));
CREATE INDEX intent_waiting ON intent (state, seq) WHERE {WAITING};
CREATE INDEX intent_of_signal ON intent (strategy, ref);
CREATE INDEX intent_of_candle ON intent (candle);
CREATE INDEX intent_by_person ON intent (strategy) WHERE number < 0;
CREATE TABLE event (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, intent TEXT NOT NULL REFERENCES intent (id), state TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '', parent_signal_id TEXT, hash TEXT NOT NULL);
CREATE INDEX event_of_intent ON event (intent);
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY, intent TEXT NOT NULL REFERENCES intent (id), phase TEXT NOT NULL
        CHECK (phase IN ('start', 'end')),
    at INTEGER NOT NULL, outcome TEXT NOT NULL DEFAULT ''
        CHECK (outcome IN ('', 'acked', 'rejected', 'later', 'not_sent', 'lost')),
    http_status INTEGER, result_type TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    response TEXT NOT NULL DEFAULT '', hash TEXT NOT NULL);
CREATE INDEX attempt_of_intent ON attempt (intent);
CREATE TABLE decision (
    id INTEGER PRIMARY KEY, intent TEXT NOT NULL REFERENCES intent (id), at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('landed', 'not_landed', 'abandoned')), parent_signal_id TEXT,
    hash TEXT NOT NULL);
CREATE TABLE told (
    id INTEGER PRIMARY KEY, strategy TEXT NOT NULL, intent TEXT NOT NULL REFERENCES intent (id),
    outcome TEXT NOT NULL CHECK (outcome IN ('entered', 'refused', 'voided')), entered INTEGER NOT NULL, close INTEGER NOT NULL,
    reason TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX told_of_intent ON told (intent);
CREATE TABLE refusal (
    id INTEGER PRIMARY KEY, strategy TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    close INTEGER NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL, call TEXT NOT NULL, field TEXT NOT NULL, value REAL,
    reason TEXT NOT NULL, rule TEXT NOT NULL, hash TEXT NOT NULL);
CREATE INDEX refusal_of_strategy ON refusal (strategy);
CREATE TABLE anchor (
    id INTEGER PRIMARY KEY, strategy TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    close INTEGER NOT NULL, anchor INTEGER NOT NULL, hash TEXT NOT NULL);
CREATE TABLE rules (
    id INTEGER PRIMARY KEY, strategy TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    close INTEGER NOT NULL, market TEXT NOT NULL, hash TEXT NOT NULL);
CREATE TABLE code (
    id INTEGER PRIMARY KEY, strategy TEXT NOT NULL, at INTEGER NOT NULL, close INTEGER NOT NULL, name TEXT NOT NULL,
    parameters TEXT NOT NULL, code_hash TEXT NOT NULL, profile TEXT NOT NULL,
    accepted INTEGER NOT NULL CHECK (accepted IN (0, 1)), hash TEXT NOT NULL);
CREATE TABLE chain (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TRIGGER intent_is_kept BEFORE DELETE ON intent BEGIN SELECT RAISE(ABORT, 'an intent is kept'); END;
CREATE TRIGGER intent_says_the_same BEFORE UPDATE OF {", ".join(CHAINED["intent"])}, hash ON intent
    BEGIN SELECT RAISE(ABORT, 'an intent is final'); END;
CREATE TRIGGER parent_is_final BEFORE UPDATE OF parent_signal_id ON signal
    WHEN OLD.parent_signal_id IS NOT NULL AND NEW.parent_signal_id IS NOT OLD.parent_signal_id
    BEGIN SELECT RAISE(ABORT, 'the name of a signal is final'); END;
"""

SCHEMA = _TABLES + "".join(_APPEND_ONLY.format(table=table) for table in CHAINED if table != "intent")
"""SQL, to be executed once, in one transaction."""


@dataclass(frozen=True, slots=True)
class Run:
    """One start of the emitter: ``mode`` is ``paper`` or ``live``, ``account`` the fingerprint of the key."""

    mode: str
    account: str
    started_at: int
    code_hash: str = ""
    config_hash: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """One strategy on the candles of one market, for one account.

    Attributes
    ----------
    account
        Fingerprint of the API key.
    strategy
        Identity: the hash of class name and parameters.
    symbol, timeframe
        Of the candles.
    exchange
        Whose candles they are; no part of any id.
    volumes
        Whether the candles' volumes are known (L2.6).
    max_lag
        Of a venue where every message acts anew: how long after its close a call may come, ms; none of its calls is
        ever sent again once it may have arrived. None: the Signal API.
    """

    account: str
    strategy: str
    symbol: str
    timeframe: str
    exchange: str = ""
    volumes: bool = True
    max_lag: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Strategy, symbol and timeframe: what a cursor is kept by."""
        return self.strategy, self.symbol, self.timeframe

    @property
    def span(self) -> int:
        """Length of a candle in ms."""
        return milliseconds(self.timeframe)


@dataclass(frozen=True, slots=True)
class Seen:
    """One candle as it was acted on; prices are None where it was missing.

    Attributes
    ----------
    time
        Of its opening, UTC ms.
    source
        ``history``, ``websocket``, ``rest`` or ``missing``.
    arrived
        UTC ms.
    """

    time: int
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    source: str = "history"
    arrived: int = 0

    @classmethod
    def of(cls, time: int, row: Sequence[float] | None, source: str, arrived: int) -> Seen:
        """Return a candle of a row of time and five values; of None, one that was missing.

        Parameters
        ----------
        time
            Of its opening, UTC ms.
        row
            Time, open, high, low, close and volume.
        source, arrived
            Where it came from, and when (UTC ms).
        """
        if row is None:
            return cls(time, None, None, None, None, None, source, arrived)
        _, o, h, l, c, v = row  # noqa: E741
        return cls(time, o, h, l, c, v, source, arrived)

    @property
    def row(self) -> tuple[int, float | None, float | None, float | None, float | None, float | None]:
        """Time, open, high, low, close, volume."""
        return self.time, self.open, self.high, self.low, self.close, self.volume


@dataclass(frozen=True, slots=True)
class Told:
    """What a strategy was told of a call, and from when on the shadow book holds it.

    Attributes
    ----------
    intent
        Id of the call.
    outcome
        ``entered`` the shadow book, ``refused`` (it never will), ``voided`` (it was there and is taken back).
    close
        The close at which the strategy knew, UTC ms.
    entered
        The close before, from which on it is so in the shadow book.
    reason
        For the strategy's event and for a person.
    """

    intent: str
    outcome: str
    close: int
    entered: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decided:
    """What one stream brought at one close; those of one pass are kept together (T1).

    Attributes
    ----------
    stream, time
        Of whom, at which close (UTC ms).
    calls
        Final ones of this close, in order.
    seen
        The candles that are new since the last pass, history included; the last one closes at ``time``.
    told
        What the strategy was told before it decided.
    ended
        Refs of signals that have ended in the shadow book.
    revived
        Refs of signals that live in it again, since the call that ended them was taken back.
    anchor
        Open time of the first candle that indicators see after this close, UTC ms.
    refused
        Calls of this close that the desk refused (L3.8).
    start
        Behind which close the account trades, UTC ms; what closed by then is history. Kept with a stream's first close.
    market
        Rules of the market; kept with a stream's first close. None where they are not known.
    """

    stream: Stream
    time: int
    calls: Sequence[Call] = ()
    seen: Sequence[Seen] = ()
    told: Sequence[Told] = ()
    ended: Sequence[str] = ()
    anchor: int = 0
    refused: Sequence[Refusal] = ()
    start: int = 0
    market: Market | None = None
    revived: Sequence[str] = ()

    @property
    def kinds(self) -> list[str]:
        """Of the calls."""
        return [kind_of(call) for call in self.calls]


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a stream has seen its candles.

    Attributes
    ----------
    anchor, moved
        Open time of the first candle that indicators see, and the close at which it last moved.
    time, close, row_hash
        Of the last close: when, at which price (None where the candle was missing), and a hash of the candle.
    """

    strategy: str
    symbol: str
    timeframe: str
    exchange: str
    anchor: int
    moved: int
    time: int
    close: float | None
    row_hash: str

    @property
    def series(self) -> Series | None:
        """Of its candles; None where they are of no exchange that was named."""
        return Series(self.exchange, self.symbol, self.timeframe) if self.exchange else None


@dataclass(frozen=True, slots=True)
class Code:
    """The code that decided for a strategy from a close on.

    Attributes
    ----------
    strategy
        Identity.
    at, close
        When it was noted, and behind which close it decides, UTC ms.
    name, parameters
        Class, and its parameters as JSON.
    code_hash
        Of its source file.
    profile
        Of the subscriber for whom it is judged, as JSON.
    accepted
        Whether it decides otherwise than what was there before, and a person accepted that.
    """

    strategy: str
    at: int
    close: int
    name: str
    parameters: str
    code_hash: str
    profile: str
    accepted: bool


@dataclass(frozen=True, slots=True)
class SignalRow:
    """A signal as the journal has it; prices by the API's name."""

    ref: str
    strategy: str
    symbol: str
    tag: str | None
    parent_signal_id: str | None
    state: str
    wished: dict[str, str]
    confirmed: dict[str, str]
