"""Scenario: a call log replayed over candles, the file format at the end of the rules.

A scenario is one JSON object: ``market`` (or ``markets``), ``profile``, ``candles``, ``detail``, ``funding``,
``assumptions`` and ``calls``. Whatever breaks a rule of the API is refused in one sentence naming call and field.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.engine.codes import STATUSES
from backtest.engine.history import MarketHistory
from backtest.engine.parameters import MODES
from backtest.engine.simulator import SimulatedVenue
from backtest.errors import BacktestError, InvalidSettingError, InvalidSignalError, did_you_mean
from backtest.model.assumptions import VenueAssumptions
from backtest.model.calls import Call, CreateSignal, UpdatePrices, later_side_check, placed_call
from backtest.model.json_file import read_json
from backtest.model.market import Market
from backtest.model.profile import SubscriberProfile
from backtest.model.rows import LAST_TIME, candles_of_rows
from backtest.report import text
from backtest.runner.funding import funding_table
from backtest.wire import body_of, call_from_body, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from backtest.model.candles import Candles
    from backtest.model.events import Event

__all__ = [
    "LoggedCall",
    "Scenario",
    "check_markets",
    "check_refs",
    "check_unit",
    "early_calls",
    "logged_call",
    "placed_creates",
    "placed_logged",
    "replay",
    "replay_directory",
    "replay_file",
    "twin_creates",
    "walk_log",
]

_KEYS = ("market", "markets", "profile", "candles", "detail", "funding", "assumptions", "calls")
_CALLS = ("create_v1", "create_v2", "takeprofit", "trailingstop", "rebuy", "dca", "updateprice", "cancel")
_LEAST_MS = 100_000_000_000  # 1973 in milliseconds, and the year 5138 in seconds
_LEAST_SECONDS = 100_000_000
_CALL_KEYS = ("at", "ref", "call", "body", "allow_marketable")


@dataclass(frozen=True, slots=True)
class LoggedCall:
    """A call and the instant at which it was sent, UTC ms; ``where`` is its place in the log, for a refusal."""

    at: int
    call: Call
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Feeds, profile, assumptions and a call log, checked."""

    histories: tuple[MarketHistory, ...]
    profile: SubscriberProfile
    assumptions: VenueAssumptions
    calls: tuple[LoggedCall, ...]

    @classmethod
    def from_dict(cls, values: Any) -> Scenario:
        """Read a scenario from parsed JSON.

        Raises
        ------
        BacktestError
            One sentence that names the call and the field.
        """
        if not isinstance(values, dict):
            raise InvalidSettingError(f"a scenario is a JSON object, was {type(values).__name__}")
        for key in values:
            if key not in _KEYS and key not in {"why", "name"}:
                raise InvalidSettingError(
                    f"a scenario has no field {key!r}; it knows {', '.join(_KEYS)}.{did_you_mean(key, _KEYS)}"
                )
        profile = SubscriberProfile.from_dict(_object(values.get("profile") or {}, "profile"))
        assumptions = VenueAssumptions.from_dict(_object(values.get("assumptions") or {}, "assumptions"))
        histories = tuple(_histories(values))
        calls = tuple(_calls(values.get("calls") or []))
        check_refs(calls)
        check_markets(calls, histories)
        check_unit(calls, histories)
        return cls(histories, profile, assumptions, calls)

    @classmethod
    def from_file(cls, path: Path) -> Scenario:
        """Read a scenario file.

        Raises
        ------
        BacktestError
            Where the file cannot be read, gives a key twice or breaks a rule.
        """
        return cls.from_dict(read_json(path, "scenario"))

    def notes(self) -> list[str]:
        """Return what a reader must know of the log: calls before their create, and signals that are twins."""
        return [*early_calls(self.calls), *twin_creates(self.calls)]

    def run(self, mode: str | None = None) -> SimulatedVenue:
        """Replay the log to the end of the candles, in the profile's mode or another one."""
        profile = (
            self.profile
            if mode in (None, self.profile.intrabar)
            else self.profile.model_copy(update={"intrabar": mode})
        )
        return walk_log(self.histories, self.calls, profile, self.assumptions)


def walk_log(
    histories: Sequence[MarketHistory],
    calls: Sequence[LoggedCall],
    profile: SubscriberProfile,
    assumptions: VenueAssumptions,
) -> SimulatedVenue:
    """Send a call log in order of time and walk the candles to their end.

    Parameters
    ----------
    histories
        The markets with their candles.
    calls
        In the order of the log; those of one instant act in this order.
    profile, assumptions
        On which the signals are executed.
    """
    venue = SimulatedVenue(histories, profile, assumptions)
    markets = {(history.market.coin, history.market.trade_market): history.market for history in histories}
    creates = placed_creates(calls, markets)
    for create in creates.values():
        venue.announce(create)
    for logged in sorted(calls, key=lambda logged: logged.at):
        venue.send(placed_logged(logged.call, creates, markets), logged.at)
    venue.advance()
    return venue


def placed_creates(calls: Sequence[LoggedCall], markets: Mapping[tuple[str, str], Market]) -> dict[str, CreateSignal]:
    """Return the creates of a log on the tick of their markets, by ref, in the order of the log.

    Parameters
    ----------
    calls
        Of the log.
    markets
        By coin and trade market.
    """
    creates = (logged.call for logged in calls)
    return {
        create.ref: create.rounded(markets[create.coin, create.trade_market])
        for create in creates
        if isinstance(create, CreateSignal)
    }


def placed_logged(call: Call, creates: Mapping[str, CreateSignal], markets: Mapping[tuple[str, str], Market]) -> Call:
    """Return a call of a log on the tick.

    Parameters
    ----------
    call
        As logged.
    creates, markets
        See :func:`placed_creates`.
    """
    create = creates[call.ref if isinstance(call, CreateSignal) else call.signal]
    return (
        create
        if isinstance(call, CreateSignal)
        else placed_call(call, create, markets[create.coin, create.trade_market])
    )


def replay(scenario: Scenario) -> dict[str, Any]:
    """Return what ``backtest replay --json`` prints: signals with events, cash, equity, ambiguity, three total returns."""
    runs = {mode: scenario.run(mode) for mode in MODES}
    venue = runs[scenario.profile.intrabar]
    balance = scenario.profile.balance
    return {
        "signals": _signals(venue),
        "cash": float(venue.account.cash),
        "equity": [[int(t), float(v)] for t, v in zip(venue.equity_time, venue.equity, strict=True)],
        "ambiguous_candles": int(venue.account.ambiguous),
        "total_return": {
            mode: (float(run.equity[-1]) / balance - 1.0 if len(run.equity) else 0.0) for mode, run in runs.items()
        },
    }


def replay_file(path: Path) -> dict[str, Any]:
    """Replay one scenario file.

    Raises
    ------
    BacktestError
        Where the file cannot be read or breaks a rule.
    """
    return replay(Scenario.from_file(path))


def replay_directory(folder: Path) -> list[dict[str, Any]]:
    """Replay every ``*.json`` of a folder; a broken one is listed with its sentence and stops nothing."""
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.json"), key=lambda path: path.name):
        try:
            rows.append({"file": path.name, "exit": 0, "result": replay_file(path), "error": ""})
        except BacktestError as error:
            rows.append({"file": path.name, "exit": error.exit_status, "result": None, "error": str(error)})
    return rows


def _signals(venue: SimulatedVenue) -> list[dict[str, Any]]:
    events: dict[str, list[dict[str, Any]]] = {ref: [] for ref in venue.refs}
    for event in venue.new_events():
        events[event.signal].append(_event(event))
    rows = []
    for ref, out in zip(venue.refs, venue.outcomes(), strict=True):
        rows.append(
            {
                "ref": ref,
                "status": STATUSES[out.status].value,
                "realised_pnl": float(out.realised),
                "fees": float(out.fees),
                "open_quantity": float(out.quantity),
                "average_entry": float(out.average) if out.quantity > 0.0 else None,
                "events": events[ref],
            }
        )
    return rows


def _event(event: Event) -> dict[str, Any]:
    return {
        "time": event.time,
        "kind": event.kind.value,
        "price": event.price,
        "quantity": event.quantity,
        "fee": event.fee,
        "rule": event.rule,
        "target": event.target,
    }


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidSettingError(f"{name} is a JSON object, was {value!r}")
    return value


def _histories(values: dict[str, Any]) -> list[MarketHistory]:
    if ("market" in values) == ("markets" in values):
        raise InvalidSettingError("a scenario has either market or markets")
    if "market" in values:
        return [
            _history(
                Market.from_dict(_object(values["market"], "market")),
                values.get("candles"),
                values.get("detail"),
                values.get("funding"),
            )
        ]
    found = []
    for entry in _entries(values["markets"]):
        inner = entry.get("market")
        fields = (
            inner
            if isinstance(inner, dict)
            else {k: v for k, v in entry.items() if k not in {"candles", "detail", "funding"}}
        )
        market = Market.from_dict(fields)
        found.append(
            _history(
                market,
                entry.get("candles"),
                entry.get("detail"),
                entry.get("funding", _funding_of(values.get("funding"), market.symbol)),
            )
        )
    if not found:
        raise InvalidSettingError("markets is empty; give at least one with its candles")
    if len({history.market.symbol for history in found}) != len(found):
        raise InvalidSettingError("markets name one symbol twice")
    return found


def _entries(markets: Any) -> list[dict[str, Any]]:
    if isinstance(markets, dict):
        return [{"symbol": symbol, **_object(entry, f"market {symbol}")} for symbol, entry in markets.items()]
    if isinstance(markets, list):
        return [_object(entry, "each of markets") for entry in markets]
    raise InvalidSettingError(f"markets is a list of markets, each with its candles, was {type(markets).__name__}")


def _funding_of(funding: Any, symbol: str) -> Any:
    return funding.get(symbol) if isinstance(funding, dict) and "rows" not in funding else funding


def _history(market: Market, candles: Any, detail: Any, funding: Any) -> MarketHistory:
    if candles is None:
        raise InvalidSettingError(f"candles of {market.symbol} are missing")
    series = _candles(candles, market.symbol, "candles")
    return MarketHistory(
        market,
        series,
        None if detail is None else _candles(detail, market.symbol, "detail"),
        _funding(_funding_of(funding, market.symbol), series),
    )


def _candles(values: Any, symbol: str, name: str) -> Candles:
    values = _object(values, name)
    timeframe, rows = values.get("timeframe"), values.get("rows")
    if not isinstance(timeframe, str) or not isinstance(rows, list):
        raise InvalidSettingError(
            f'{name} needs timeframe and rows: {{"timeframe": "1h", "rows": [[time, open, high, low, close, volume]]}}'
        )
    return candles_of_rows(symbol, timeframe, rows, name)


def _funding(values: Any, candles: Candles) -> NDArray[np.float64]:
    rows = values.get("rows") if isinstance(values, dict) else values
    return np.empty((0, 2)) if rows is None or rows == [] else funding_table(rows, candles)


def _calls(values: Any) -> list[LoggedCall]:
    if not isinstance(values, list):
        raise InvalidSettingError(f"calls is a list, was {type(values).__name__}")
    return [logged_call(f"call {number}", entry) for number, entry in enumerate(values, 1)]


def logged_call(where: str, entry: Any) -> LoggedCall:
    """Return one call of a log from its parsed JSON; ``where`` (``"call 3"``) begins every refusal.

    Parameters
    ----------
    where
        Its place, ``"call 3"``, with which every refusal begins.
    entry
        The parsed JSON: ``at`` (UTC ms), ``ref``, ``call``, ``body`` and, of an update, ``allow_marketable``.

    Raises
    ------
    InvalidSignalError
        In one sentence that names the place, the call and the field.
    """
    if not isinstance(entry, dict):
        raise InvalidSignalError(f"{where} is a JSON object, was {entry!r}")
    for key in entry:
        if key not in _CALL_KEYS:
            raise InvalidSignalError(
                f"{_label(where, entry)}: unknown field {key!r}; it knows {', '.join(_CALL_KEYS)}."
                + did_you_mean(key, _CALL_KEYS),
                key,
            )
    _check_entry(where, entry)
    kind, label = entry["call"], _label(where, entry)
    if kind not in _CALLS:
        raise InvalidSignalError(f"{label}: call is one of {', '.join(_CALLS)}.{did_you_mean(kind, _CALLS)}", "call")
    allowed = entry.get("allow_marketable", False)
    if not isinstance(allowed, bool) or (allowed and kind != "updateprice"):
        raise InvalidSignalError(
            f"{label}: allow_marketable is true or false and belongs to updateprice, was {allowed!r}",
            "allow_marketable",
        )
    try:
        call = call_from_body(kind, entry["body"], entry["ref"])
    except InvalidSignalError as error:
        raise InvalidSignalError(f"{label}: {error}", error.field) from None
    if allowed and isinstance(call, UpdatePrices):
        from dataclasses import replace

        call = replace(call, allow_marketable=True)
    return LoggedCall(entry["at"], call, where)


def _label(where: str, entry: dict[str, Any]) -> str:
    """Return the place of an entry, with its call and ref as far as it has them."""
    named = [entry[key] for key in ("call", "ref") if isinstance(entry.get(key), str)]
    return f"{where} ({' '.join(named)})" if named else where


def _check_entry(where: str, entry: dict[str, Any]) -> None:
    """Refuse an entry of a log that lacks a part or has it of another kind."""
    for key, kind, what in (
        ("at", int, "UTC milliseconds"),
        ("ref", str, "a text"),
        ("call", str, "a text"),
        ("body", dict, "a JSON object"),
    ):
        if not isinstance(entry.get(key), kind) or isinstance(entry.get(key), bool):
            problem = f"was {entry[key]!r}" if key in entry else "is missing"
            raise InvalidSignalError(f"{_label(where, entry)}: {key} is {what}, {problem}", key)
    if not -LAST_TIME < entry["at"] < LAST_TIME:
        raise InvalidSignalError(
            f"{_label(where, entry)}: at is UTC milliseconds up to the year 10000, was {str(entry['at'])[:40]}", "at"
        )


def check_refs(calls: Sequence[LoggedCall]) -> None:
    """Refuse a ref that is created twice or never, and a trailing limit that is better than its trigger."""
    where = [logged.where or f"call {number}" for number, logged in enumerate(calls, 1)]
    creates: dict[str, CreateSignal] = {}
    for place, logged in zip(where, calls, strict=True):
        call = logged.call
        if isinstance(call, CreateSignal):
            if call.ref in creates:
                raise InvalidSignalError(f"{place} (create {call.ref}): ref {call.ref!r} is created twice", "ref")
            creates[call.ref] = call
    for place, logged in zip(where, calls, strict=True):
        call = logged.call
        if isinstance(call, CreateSignal):
            continue
        create = creates.get(call.signal)
        label = f"{place} ({type(call).__name__.lower()} {call.signal})"
        if create is None:
            raise InvalidSignalError(f"{label}: ref {call.signal!r} is never created", "ref")
        try:
            later_side_check(call, create.side)
        except InvalidSignalError as error:
            raise InvalidSignalError(f"{label}: {error}", error.field) from None


def check_markets(calls: Sequence[LoggedCall], histories: Sequence[MarketHistory]) -> None:
    """Refuse a create of a market without candles.

    Parameters
    ----------
    calls
        Of the log.
    histories
        The markets that have candles.
    """
    known = {f"{history.market.coin}/{history.market.trade_market}" for history in histories}
    for number, logged in enumerate(calls, 1):
        create = logged.call
        if isinstance(create, CreateSignal) and create.symbol not in known:
            raise InvalidSignalError(
                f"{logged.where or f'call {number}'} (create {create.ref}): coin and trade_market were {create.symbol}; "
                f"the candles given are those of {', '.join(sorted(known))}",
                "coin",
            )


def check_unit(calls: Sequence[LoggedCall], histories: Sequence[MarketHistory]) -> None:
    """Refuse an instant that was given in seconds: it would act at the first candle, as if it came before all of them.

    Parameters
    ----------
    calls
        With instants in UTC ms.
    histories
        The candles that they meet.
    """
    first = min((int(history.candles.time[0]) for history in histories if len(history.candles)), default=0)
    for number, logged in enumerate(calls, 1):
        if first >= _LEAST_MS > logged.at >= _LEAST_SECONDS:
            raise InvalidSignalError(
                f"{logged.where or f'call {number}'}: at is UTC milliseconds, was {logged.at}, which are seconds: "
                f"{1000 * logged.at} is {text.when(1000 * logged.at)}",
                "at",
            )


def early_calls(calls: Sequence[LoggedCall]) -> list[str]:
    """Return one sentence for each call that was sent before the create of its signal, and so does nothing (L11.3)."""
    created: dict[str, tuple[int, int, str]] = {}
    for number, logged in enumerate(calls, 1):
        if isinstance(logged.call, CreateSignal):
            created[logged.call.ref] = logged.at, number, logged.where or f"call {number}"
    found = []
    for number, logged in enumerate(calls, 1):
        if isinstance(logged.call, CreateSignal):
            continue
        at, place, where = created[logged.call.signal]
        if (logged.at, number) < (at, place):
            found.append(
                f"{logged.where or f'call {number}'} ({kind_of(logged.call)} {logged.call.signal}) was sent at "
                f"{text.when(logged.at)}, before its create ({where}, {text.when(at)}), and would do nothing"
            )
    return found


def twin_creates(calls: Sequence[LoggedCall]) -> list[str]:
    """Return one sentence for each create that equals an earlier one of the same instant in all but its ref."""
    first: dict[tuple[Any, ...], str] = {}
    found = []
    for number, logged in enumerate(calls, 1):
        if not isinstance(logged.call, CreateSignal):
            continue
        where = logged.where or f"call {number}"
        twin = logged.at, kind_of(logged.call), tuple(body_of(logged.call).items())
        if twin in first:
            found.append(
                f"{where} (create {logged.call.ref}) is {first[twin]} once more under another ref: whoever follows both buys "
                "twice"
            )
        first.setdefault(twin, f"{where} (create {logged.call.ref})")
    return found
