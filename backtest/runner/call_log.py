"""Call log: what a provider really sent, read from a table, in the place of a strategy."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from backtest.errors import InvalidSettingError, InvalidSignalError, did_you_mean
from backtest.model.calls import CreateSignal
from backtest.model.candles import instant
from backtest.runner.record import StrategyRecord
from backtest.runner.scenario import LoggedCall, check_refs, early_calls, logged_call, twin_creates
from backtest.strategy.plan import Plan
from backtest.wire import ENDPOINTS, body_of, kind_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from backtest.engine.history import MarketHistory
    from backtest.model.events import SignalRef
    from backtest.model.posted import Posted

__all__ = ["CallLog", "check_log", "read_call_log"]

_LEAST_SECONDS = 100_000_000
_UNITS = ((10**17, -1_000_000), (10**14, -1_000), (10**11, 1), (0, 1_000))
"""From which size on a Unix time is in ns, us, ms and s, and how it becomes ms: times, or where below 0 divided by."""

_NEEDED = ("at", "ref", "call")
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class CallLog:
    """A recorded history in the place of a strategy: it has an identity, and decides nothing.

    Attributes
    ----------
    calls
        Checked, in the order of the file.
    name
        What a report calls it, such as the file's name.
    posted
        What is known of how it came about; None of a log that was not imported.
    """

    calls: tuple[LoggedCall, ...]
    name: str = "call log"
    posted: Posted | None = None

    @property
    def plan(self) -> Plan | None:
        """What the channel says once for all its signals."""
        stated = self.posted.plan if self.posted is not None else None
        return None if stated is None else Plan.model_validate(stated)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the calls, their instants and refs; the name is no part of it."""
        rows = [[logged.at, _ref(logged), kind_of(logged.call), _body(logged)] for logged in self.calls]
        plan = self.posted.plan if self.posted is not None else None
        whole = rows if plan is None else [rows, plan]
        text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def record(self) -> StrategyRecord:
        """What a result keeps of it."""
        creates = sum(isinstance(logged.call, CreateSignal) for logged in self.calls)
        return StrategyRecord(
            name=self.name,
            identity=self.identity,
            parameters={"calls": len(self.calls), "signals": creates},
            doc="Calls that were really sent, replayed over candles.",
        )

    def warnings(self, histories: Sequence[MarketHistory]) -> list[str]:
        """Return what a reader must know about calls that lie outside the candles."""
        spans = {(history.market.coin, history.market.trade_market): _opens(history) for history in histories}
        creates = (logged.call for logged in self.calls)
        address = {
            create.ref: (create.coin, create.trade_market) for create in creates if isinstance(create, CreateSignal)
        }
        early = late = 0
        for logged in self.calls:
            first, last = spans[address[_ref(logged)]]
            early += logged.at < first
            late += logged.at > last
        found = [f"{sentence}." for sentence in twin_creates(self.calls)]
        if early:
            were = "call of the log was" if early == 1 else "calls of the log were"
            found.append(f"{early} {were} sent before the first candle and acted on it, late.")
        if late:
            were = "call of the log was" if late == 1 else "calls of the log were"
            found.append(f"{late} {were} sent after the last candle had opened, and never acted.")
        return found


def read_call_log(path: str | os.PathLike[str]) -> tuple[LoggedCall, ...]:
    """Read a call log from a CSV file: one call a line, in the order in which they were sent.

    The columns are ``at`` (Unix time in s, ms, us or ns, told by its size, or ISO text, UTC where it names no zone), ``ref`` (the log's name of the signal),
    ``call`` (``create_v1, create_v2, takeprofit, trailingstop, rebuy, dca, updateprice, cancel``), and any of the API's
    body fields by their own names, besides ``allow_marketable`` (``true`` or ``false``). An empty cell leaves its field
    out. Prices stay decimal text as on the wire; everything else that the API knows as a number is read as one.

    Parameters
    ----------
    path
        The file, UTF-8, its first line the columns.

    Raises
    ------
    InvalidSignalError
        In one sentence that names file, line, call and field; also for a ref that is created twice or never, and for a
        call that was sent before its create.
    InvalidSettingError
        Where the file cannot be read.
    """
    file = Path(path)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            placed = [
                (f"{file.name} line {line}", row) for line, row in _rows(csv.reader(stream, strict=True), file.name)
            ]
    except FileNotFoundError:
        raise InvalidSettingError(f"there is no call log {file}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidSettingError(f"the call log {file} cannot be read: {error}") from None
    calls = tuple(logged_call(where, _entry(where, row)) for where, row in placed)
    check_log(calls)
    return calls


def check_log(calls: Sequence[LoggedCall]) -> None:
    """Refuse a ref that is created twice or never, and a call that was sent before its create.

    Raises
    ------
    InvalidSignalError
        Naming the place of the first such call.
    """
    check_refs(calls)
    early = early_calls(calls)
    if early:
        raise InvalidSignalError(f"{early[0]}: correct its time, or leave it out", "at")


def _rows(reader: Any, name: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and filled cells of each row."""
    columns: list[str] = []
    for cells in reader:
        filled = [cell.strip() for cell in cells]
        if not any(filled):
            continue
        if not columns:
            columns = filled
            _check_columns(columns, f"{name} line {reader.line_num}")
            continue
        if len(filled) > len(columns):
            raise InvalidSignalError(
                f"{name} line {reader.line_num}: {len(filled)} cells stand under {len(columns)} columns"
            )
        yield reader.line_num, {column: cell for column, cell in zip(columns, filled, strict=False) if cell}
    if not columns:
        raise InvalidSignalError(f"{name} is empty; a call log begins with a line of columns: at, ref, call, ...")


def _check_columns(columns: list[str], where: str) -> None:
    known = [*_NEEDED, *_FIELDS, "allow_marketable"]
    for column in columns:
        if column not in known:
            raise InvalidSignalError(
                f"{where}: {column!r} is no column of a call log.{did_you_mean(column, known)}", column
            )
        if columns.count(column) > 1:
            raise InvalidSignalError(f"{where}: column {column} stands twice", column)
    for column in _NEEDED:
        if column not in columns:
            raise InvalidSignalError(
                f"{where}: column {column} is missing; a call log needs {', '.join(_NEEDED)}", column
            )


def _entry(where: str, row: dict[str, str]) -> dict[str, Any]:
    """Return a row as the JSON entry of a scenario file."""
    entry: dict[str, Any] = {key: row.pop(key) for key in ("ref", "call") if key in row}
    if "at" in row:
        entry["at"] = _instant(where, row.pop("at"))
    if "allow_marketable" in row:
        text = row.pop("allow_marketable")
        entry["allow_marketable"] = _TRUTH.get(text.lower(), text)
    return {**entry, "body": {name: _number(text) if _FIELDS[name] else text for name, text in row.items()}}


def _instant(where: str, text: str) -> int:
    if re.fullmatch(r"\d+", text):
        return _in_ms(int(text))
    try:
        return instant(text)
    except InvalidSettingError as error:
        raise InvalidSignalError(f"{where}: at is Unix time or ISO text; {error}", "at") from None


def _in_ms(number: int) -> int:
    """Return a Unix time in ms; s, ms, us and ns are told by their size, from 1973 on."""
    if number < _LEAST_SECONDS:
        return number
    unit = next(unit for least, unit in _UNITS if number >= least)
    return number * unit if unit > 0 else number // -unit


def _number(text: str) -> Any:
    """Return a JSON number; text that is none stays text, so that the wire names the field."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text


def _is_number(annotation: Any) -> bool:
    return annotation in (int, float) or any(_is_number(part) for part in get_args(annotation))


_FIELDS = {
    name: _is_number(info.annotation)
    for endpoint in ENDPOINTS.values()
    for name, info in endpoint.body.model_fields.items()
}
"""The API's body fields, and whether each is a JSON number."""


def _opens(history: MarketHistory) -> tuple[int, int]:
    """Return the opens of the first and the last candle that are walked."""
    last = max(int(one.time[-1]) for one in (history.candles, history.detail) if one is not None and len(one))
    return int(history.candles.time[0]), last


def _ref(logged: LoggedCall) -> SignalRef:
    call = logged.call
    return call.ref if isinstance(call, CreateSignal) else call.signal


def _body(logged: LoggedCall) -> dict[str, Any]:
    call = logged.call
    body = body_of(call, None if isinstance(call, CreateSignal) else call.signal)
    return {**body, "allow_marketable": True} if getattr(call, "allow_marketable", False) else body
