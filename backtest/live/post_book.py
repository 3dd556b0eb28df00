"""What posts tell of one strategy: its calls as they were sent, and what a subscriber has of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backtest.live.intent import State
from backtest.live.post_picture import tables_of_book
from backtest.live.reconcile_replay import book_of, ground_of, pnl_of
from backtest.model.events import EventKind, SignalRef, Status
from backtest.report import text
from backtest.runner.frames import fills_frame
from backtest.wire import read_object, tag_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from backtest.engine.simulator import SimulatedVenue
    from backtest.live.intent import Intent
    from backtest.live.reconcile_replay import Rules
    from backtest.live.snapshot import Snapshot
    from backtest.model.profile import SubscriberProfile
    from backtest.report.tables import ResultTables

__all__ = ["Book"]

_THERE = (State.ACKED, State.LANDED)
_OVER = frozenset({Status.CLOSED, Status.EXPIRED, Status.INVALIDATED, Status.CANCELED})


class Book:
    """One strategy's calls, and what a subscriber has of them.

    Parameters
    ----------
    journal
        As it stood.
    identity
        Of the strategy.
    rules
        Returns the rules of a series' market, given those that the journal knows.
    profile
        On whose account results are counted.

    Attributes
    ----------
    creates
        The creates that the venue confirmed, by ref.
    ends
        When the last thing happened to each signal that has ended, by ref, UTC ms; known once :meth:`over` was asked.
    """

    def __init__(self, journal: Snapshot, identity: str, rules: Rules, profile: SubscriberProfile) -> None:
        self.identity, self._journal, self._profile = identity, journal, profile
        self._ground = ground_of(journal, identity, rules)
        self._intents = [one for one in journal.intents if one.strategy == identity and one.state in _THERE]
        self.creates = {one.ref: one for one in self._intents if one.creates}
        self._parents = {row.ref: row.parent_signal_id or "" for row in journal.signals if row.strategy == identity}
        self._venue: SimulatedVenue | None = None
        self._tables: ResultTables | None = None
        self.ends: dict[str, int] = {}

    @property
    def venue(self) -> SimulatedVenue:
        """The subscriber's account, made when it is first needed."""
        if self._venue is None:
            self._venue = book_of(self._journal, self.identity, self._ground, self._profile)
        return self._venue

    @property
    def tables(self) -> ResultTables:
        """All of it as charts want it."""
        if self._tables is None:
            self._tables = tables_of_book(self.identity[:12], self._ground, self.venue, self._intents)
        return self._tables

    def sent(self) -> Iterator[tuple[Intent, int]]:
        """Yield the calls that the venue confirmed, each with when."""
        for intent in self._intents:
            moment = self._journal.when(intent, *_THERE) or intent.candle
            yield intent, moment

    def over(self) -> Iterator[tuple[str, int]]:
        """Yield the signals that have ended, each with the close at which that was known, UTC ms."""
        if not any(
            row.state in {"ended", "canceled"} for row in self._journal.signals if row.strategy == self.identity
        ):
            return
        events, refs = self.venue.event_records, self.venue.refs
        ends = {
            str(refs[number]): time
            for number, time in zip(events["signal"].tolist(), events["time"].tolist(), strict=True)
        }
        span = self._ground.span
        for ref, create in self.creates.items():
            name = SignalRef(ref)
            if self.venue.knows(name) and self.venue.status(name) in _OVER and ref in ends:
                self.ends[ref] = ends[ref]
                confirmed = self._journal.when(create, *_THERE) or 0
                yield ref, max(ends[ref] + span, confirmed)

    def common(self, ref: str, moment: int | None) -> dict[str, Any]:
        """Return what every post may name."""
        create = self.creates.get(ref)
        body = {} if create is None else read_object(create.body)
        sent = moment if moment is not None or create is None else self._journal.when(create, *_THERE)
        return {
            "side": body.get("type", "long"),
            "symbol": f"{body.get('coin', '')}/{body.get('trade_market', '')}",
            "coin": body.get("coin", ""),
            "trade_market": body.get("trade_market", ""),
            "exchange": body.get("exchange", ""),
            "decided": "" if create is None else text.when(create.candle),
            "sent": "" if sent is None else text.when(sent // 1000 * 1000),
            "tag": f"ref:{tag_of(body.get('attachment_description')) or ''}",
            "venue_id": self._parents.get(ref, ""),
        }

    def signal(self, intent: Intent) -> dict[str, Any]:
        """Return what the post of a create may name besides."""
        body = read_object(intent.body)
        prices = [body.get(f"{name}_{part}") for name in ("entry_price", "buy_price") for part in ("min", "mid", "max")]
        entry = list(dict.fromkeys(price for price in prices if price))
        names = [f"{name}_{k}" for name in ("exit_price", "sell_price") for k in range(1, 7)]
        note = str(body.get("attachment_description") or "").rpartition("ref:")[0].strip()
        return {
            "entry": " to ".join([entry[0], entry[-1]] if len(entry) > 1 else entry),
            "targets": [body[name] for name in names if name in body],
            "stop": body.get("stop_loss", ""),
            "invest": _number(body.get("invest")),
            "leverage": _number(body.get("leverage")),
            "account": body.get("account", ""),
            "ttl": text.duration(body["ttl_buy_order"]) if "ttl_buy_order" in body else "",
            "note": note,
        }

    def update(self, intent: Intent) -> dict[str, Any]:
        """Return what the post of a later call may name besides."""
        body = read_object(intent.body)
        before = self._before(intent)
        changes = [
            f"{name.replace('_', ' ')} {before.get(name, 'none')} became {value}"
            if intent.kind == "updateprice"
            else f"{name.replace('_', ' ')} {value}"
            for name, value in body.items()
            if name != "parent_signal_id"
        ]
        return {"what": _WHAT[intent.kind], "call": intent.kind, "changes": changes}

    def _before(self, intent: Intent) -> dict[str, str]:
        """Return the prices of a signal as they stood before a call."""
        found: dict[str, str] = {}
        for other in self._intents:
            if other.ref == intent.ref and other.seq < intent.seq and (other.creates or other.kind == "updateprice"):
                found |= other.prices
        return found

    def result(self, ref: str) -> dict[str, Any]:
        """Return what the post of a result may name besides."""
        frame = fills_frame(self.venue)
        mine = frame[frame["signal"] == ref]
        trades = self.tables.trades[self.tables.trades["signal"] == ref]
        gain = pnl_of(self.venue).get(ref, 0.0)
        traded = len(mine) > 0
        first, last = (int(mine["time"].iloc[0]), int(mine["time"].iloc[-1])) if traded else (0, 0)
        entry = float(trades["average_entry"].iloc[0]) if len(trades) else None
        margin = float(trades["margin"].sum())
        return {
            "status": self.venue.status(SignalRef(ref)).value,
            "gain": text.percent(gain / margin, signed=True) if traded and margin else "",
            "of_capital": text.percent(gain / self._profile.balance, signed=True) if traded else "",
            "pnl": text.money(gain, signed=True) if traded else "",
            "won": gain > 0.0,
            "average_entry": text.price(entry, 8) if entry is not None else "",
            "fills": [
                _filled(*row)
                for row in zip(*(mine[name].tolist() for name in ("time", "kind", "target", "price")), strict=True)
            ],
            "lasted": text.duration(last - first) if last > first else "",
        }


_WHAT: Mapping[str, str] = {
    "updateprice": "prices changed",
    "takeprofit": "take profit",
    "trailingstop": "trailing stop",
    "rebuy": "buy more",
    "dca": "buy more below",
    "cancel": "canceled, close what is open",
}


def _number(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _filled(time: int, kind: str, target: int, price: float) -> str:
    word = (
        f"target {target}" if kind == EventKind.TARGET_HIT.value else kind.removesuffix("_hit").removesuffix("_filled")
    )
    return f"{text.when(time)} {word.replace('_', ' ')} at {text.price(price, 8)}"
