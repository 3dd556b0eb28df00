"""Reading: every message of a history as a create, an update, a cancel, chatter, or unreadable, because."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backtest.channel.calls import calls_of_follow_up, calls_of_order, shown
from backtest.channel.clean import clean
from backtest.channel.follow_up import FollowUp, follow_up_of
from backtest.channel.order import is_order, order_of
from backtest.channel.review import seen
from backtest.channel.tokens import pairs_of, stripped
from backtest.errors import InvalidSignalError
from backtest.report import text as words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.channel.conventions import ChannelRules
    from backtest.channel.message import History, Message
    from backtest.channel.order import Order
    from backtest.channel.prices import Prices
    from backtest.channel.review import Decision
    from backtest.model.calls import Call

__all__ = ["Read", "Reading", "counts", "read"]

_ACTS = frozenset({"update", "cancel"})
KINDS = ("create", "update", "cancel", "report", "chatter", "unreadable", "dropped")


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one message.

    Attributes
    ----------
    message
        As exported.
    kind
        ``create``, ``update``, ``cancel``, ``report``, ``chatter``, ``unreadable`` or ``dropped`` (by a person).
    at
        When its calls were sent, UTC ms.
    calls
        What it sent.
    reason
        Why it is unreadable, or what a person decided.
    about
        The id of the signal's message, of what is about one.
    words
        What it says, for a person; of a report.
    marks
        What a subscriber must know of it: ``passed``, ``late edit``, ``unchecked``, ``edited``, ``decided``.
    """

    message: Message
    kind: str
    at: int
    calls: tuple[Call, ...] = ()
    reason: str = ""
    about: str = ""
    words: str = ""
    marks: frozenset[str] = frozenset()

    @property
    def reading(self) -> str:
        """What it was read as, in words."""
        if self.calls:
            return shown(self.calls) + (f" (of {self.about})" if self.kind != "create" else "")
        return f"report: {self.words}" if self.kind == "report" and self.words else self.kind


@dataclass(slots=True)
class _Signal:
    """A signal that was read, as it stands after the answers so far."""

    order: Order
    at: int
    ended: str = ""


@dataclass
class Reading:
    """Reads a history, message by message.

    Parameters
    ----------
    rules
        Of the channel.
    prices
        To hold entries against, and to price entries at market.
    decisions
        Of a person, by id.
    """

    rules: ChannelRules
    prices: Prices
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    _signals: dict[str, _Signal] = field(default_factory=dict)
    _of_coin: dict[str, list[str]] = field(default_factory=dict)
    _roots: dict[str, str] = field(default_factory=dict)
    _lost: dict[str, str] = field(default_factory=dict)
    """Why messages that may have been signals were not read."""

    def take(self, message: Message) -> Read:
        """Read the next message in the order of time."""
        if message.reply_to is not None:
            self._roots[message.id] = self._roots.get(message.reply_to, message.reply_to)
        decision = self.decisions.get(message.id)
        stale = decision is not None and not _same(decision.shown, seen(message.text))
        if stale:
            decision = None
        if decision is not None and decision.kind == "drop":
            self._lost[message.id] = "it was dropped by a person"
            return Read(message, "dropped", message.time, reason="dropped by a person", marks=frozenset({"decided"}))
        marks = frozenset() if decision is None else frozenset({"decided"})
        try:
            found = self._read(message, decision)
        except InvalidSignalError as error:
            reason = str(error)
            self._lost[message.id] = reason
            late = frozenset({"late edit"}) if error.field == "edited" else frozenset()
            about = self._root(message) or ""
            found = Read(message, "unreadable", message.time, reason=reason, about=about, marks=late)
        if stale:
            why = "; ".join(filter(None, (found.reason, "what was decided was about another text: decide again")))
            found = replace(found, reason=why)
        return replace(found, marks=found.marks | marks)

    def _read(self, message: Message, decision: Decision | None) -> Read:
        text = decision.text if decision is not None and decision.kind == "as" else message.text
        if message.fault and (decision is None or decision.kind != "as"):
            raise InvalidSignalError(message.fault)
        if not text.strip():
            return Read(message, "chatter", message.time)
        try:
            plain = clean(text)
        except InvalidSignalError:
            if any(letter.isdigit() for letter in text[:100_000]):
                raise
            return Read(message, "chatter", message.time)
        root = self._root(message)
        if is_order(plain):
            found = self._maybe_order(message, text, plain, decision, root)
            if found is not None:
                return found
        if root is not None:
            return self._follow_up(message, text, root, decision)
        return self._unreplied(message, text, plain, decision)

    def _root(self, message: Message) -> str | None:
        """Return the id of the signal that a message answers; None where it answers none."""
        root = self._roots.get(message.id)
        return root if root is not None and (root in self._signals or root in self._lost) else None

    def _maybe_order(
        self, message: Message, text: str, plain: str, decision: Decision | None, root: str | None
    ) -> Read | None:
        """Return the signal that a text is; None where it is an answer instead."""
        try:
            # who keeps a text says that it was posted so, ticks or not
            order = order_of(text if decision is None else re.sub("[✅✔☑]", " ", text), self.rules)
        except InvalidSignalError as error:
            if error.field == "ticked":
                self._stood(message, kept=False)  # a late edit is the better reason, and is counted
                raise
            if root is None and not self._is_follow_up(text, plain):
                raise
            return None
        if root in self._signals and (order.coin, order.quote) == self._pair(root):
            raise InvalidSignalError(
                f"it answers signal {root} with a whole signal of its pair: whether it is new or corrects it is not said"
            )
        return self._create(message, order, decision)

    def _is_follow_up(self, text: str, plain: str) -> bool:
        """Whether a text that answers no message can be read as one about the newest signal of its pair."""
        about = self._newest(plain)
        if about is None:
            return False
        try:
            return follow_up_of(text, self._signals[about].order, self.rules).kind != "chatter"
        except InvalidSignalError:
            return False

    def _pair(self, root: str | None) -> tuple[str, str]:
        order = self._signals[str(root)].order
        return order.coin, order.quote

    def _create(self, message: Message, order: Order, decision: Decision | None) -> Read:
        kept = decision is not None and decision.kind in {"keep", "as"}
        at, marks = self._stood(message, kept=kept)
        if order.at_market:
            order = self.prices.at_market(order, at, self.rules.need("latency", "it buys at market"))
        checked = kept or self.prices.check(order, at)
        if not checked:
            meaning = self.rules.need(
                "unchecked",
                f"there are no candles of {order.coin}/{order.quote} at that time to hold its prices against",
            )
            if meaning == "refuse":
                raise InvalidSignalError(
                    f"there are no candles of {order.coin}/{order.quote} at that time, and the rule unchecked refuses such signals"
                )
            marks |= {"unchecked"}
        calls = tuple(calls_of_order(order, message.id, self.rules))
        if self.prices.passed(order, at):
            marks |= {"passed"}
        self._signals[message.id] = _Signal(order, at)
        self._of_coin.setdefault(order.coin, []).append(message.id)
        self._roots[message.id] = message.id
        return Read(message, "create", at, calls, marks=frozenset(marks))

    def _stood(self, message: Message, *, kept: bool) -> tuple[int, set[str]]:
        """Return from when on the text stood as it is exported, UTC ms; refuse a late edit."""
        if message.edited is None or message.edited <= message.time or kept:
            return message.time, set()
        after = message.edited - message.time
        most = self.rules.edited_within
        if most is None or after > most:
            said = f"edited {words.duration(after)} after it was sent: not counted"
            why = said if most is not None else f"{said}, as the rule edited_within is not set"
            raise InvalidSignalError(why, "edited")
        return message.edited, {"edited"}

    def _unreplied(self, message: Message, text: str, plain: str, decision: Decision | None) -> Read:
        """Return what a message says that answers none: of the newest signal of its pair, if the rules say so."""
        about = self._newest(plain)
        try:
            follow_up = follow_up_of(text, None if about is None else self._signals[about].order, self.rules)
        except InvalidSignalError:
            if about is None and not re.search(
                r"(?i)(?:\bsl\b|\btp\b|stop|target|стоп|цель|objetivo)[^\n\d]{0,12}\d", plain
            ):
                return Read(message, "chatter", message.time)
            raise
        if follow_up.kind not in _ACTS:
            return Read(message, follow_up.kind, message.time, about=about or "", words=follow_up.words)
        if about is None:
            raise InvalidSignalError(f"it {follow_up.words}, and answers no message and names no pair of a signal")
        if self.rules.need("unreplied", f"it {follow_up.words} and answers no message") == "refuse":
            raise InvalidSignalError(
                f"it {follow_up.words} and answers no message, and the rule unreplied refuses such"
            )
        return self._act(message, follow_up, about, decision)

    def _newest(self, plain: str) -> str | None:
        """Return the newest signal of the pair that a text names and that has not been ended."""
        pairs, tags, _ = pairs_of(stripped(plain)[0])
        names = {coin for coin, _ in pairs} | set(tags)
        if len(names) != 1:
            return None
        mine = reversed(self._of_coin.get(names.pop(), ()))
        return next((ref for ref in mine if not self._signals[ref].ended), None)

    def _follow_up(self, message: Message, text: str, root: str, decision: Decision | None) -> Read:
        signal = self._signals.get(root)
        follow_up = follow_up_of(text, None if signal is None else signal.order, self.rules)
        if follow_up.kind not in _ACTS:
            return Read(message, follow_up.kind, message.time, about=root, words=follow_up.words)
        if signal is None:
            raise InvalidSignalError(f"it answers message {root}, which is no signal that counts: {self._lost[root]}")
        return self._act(message, follow_up, root, decision)

    def _act(self, message: Message, follow_up: FollowUp, root: str, decision: Decision | None) -> Read:
        """Return an update or a cancel, and remember what it changes."""
        signal = self._signals[root]
        kept = decision is not None and decision.kind in {"keep", "as"}
        at, marks = self._stood(message, kept=kept)
        if signal.ended:
            raise InvalidSignalError(f"its signal {root} was ended by message {signal.ended}")
        if at < signal.at:
            raise InvalidSignalError(f"it was sent before its signal {root} stood as it is exported")
        calls = tuple(calls_of_follow_up(follow_up, root))
        if follow_up.kind == "cancel":
            signal.ended = message.id
        else:
            moved = enumerate(signal.order.targets)
            targets = tuple((follow_up.targets[k : k + 1] or (None,))[0] or price for k, price in moved)
            stop = follow_up.stop if follow_up.stop is not None else signal.order.stop
            signal.order = replace(signal.order, targets=targets, stop=stop)
        return Read(message, follow_up.kind, at, calls, about=root, marks=frozenset(marks))


def read(history: History, rules: ChannelRules, prices: Prices, decisions: Mapping[str, Decision]) -> list[Read]:
    """Return what became of each message, in the order of their times.

    Parameters
    ----------
    history
        Of the export.
    rules, prices, decisions
        See :class:`Reading`.
    """
    reading = Reading(rules, prices, decisions)
    return [reading.take(message) for message in history.messages]


def counts(found: list[Read]) -> dict[str, int]:
    """Return how many messages were read as what."""
    kinds = Counter(one.kind for one in found)
    return {kind: kinds[kind] for kind in KINDS}


def _same(one: str, other: str) -> bool:
    return one.split() == other.split()
