"""Carried: what of a call an outlet can say, and what is lost on the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backtest.model.calls import Cancel, CreateSignal, TakeProfit, UpdatePrices
from backtest.wire import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backtest.model.calls import Call

__all__ = ["Carries", "Lost", "carry"]

_BETWEEN = 0.01
"""Share of the way from stop or target within which an entry at market is thought to buy nothing."""


@dataclass(frozen=True, slots=True)
class Carries:
    """What an outlet can say of a signal.

    Attributes
    ----------
    entries
        Most entry prices; 0: it buys at the market when the message comes.
    zone
        Whether two prices may be the bounds of a range.
    targets
        Most targets.
    stop, ttl, leverage, margin
        Whether each is said.
    invest
        The most percent of the portfolio that it can say; None where the other side decides.
    exits
        Whether a signal can be ended later.
    stops
        Whether its stop can be moved later.
    of_fill
        Whether targets and stop are percent of the fill, so that they move with it.
    """

    entries: int
    zone: bool
    targets: int
    stop: bool
    ttl: bool = False
    leverage: bool = False
    margin: bool = False
    invest: float | None = None
    exits: bool = False
    stops: bool = False
    of_fill: bool = False

    @property
    def protects(self) -> bool:
        """Whether the other side ends a loss when this process dies."""
        return self.stop


@dataclass(frozen=True, slots=True)
class Lost:
    """One thing of a call that an outlet cannot say.

    Attributes
    ----------
    field
        The API's name, or the kind of a call that is not sent at all.
    value
        As it was.
    why
        What happens in its place.
    """

    field: str
    value: str
    why: str


def carry(call: Call, carries: Carries) -> tuple[Call | None, tuple[Lost, ...]]:
    """Return a call as an outlet can say it, and what is lost; None where it cannot be said at all.

    Parameters
    ----------
    call
        Final, on the tick.
    carries
        Of the outlet.
    """
    if isinstance(call, CreateSignal):
        return _carried_create(call, carries)
    if carries.exits and (isinstance(call, Cancel) or _sells_all(call)):
        sold = Lost("takeprofit", "100 % at market", "sent as the signal's end")
        return Cancel(call.signal), () if isinstance(call, Cancel) else (sold,)
    if isinstance(call, UpdatePrices) and carries.stops and call.stop_loss is not None:
        told = {name: getattr(call, name) for name in _UPDATES if getattr(call, name) is not None}
        lost = tuple(Lost(name, f"{value:.12g}", "not moved") for name, value in told.items())
        return UpdatePrices(call.signal, stop_loss=call.stop_loss, allow_marketable=call.allow_marketable), lost
    return None, (Lost(kind_of(call), "", "not sent"),)


_UPDATES = ("entry_price_min", "entry_price_max", *(f"exit_price_{number}" for number in range(1, 7)))


def _sells_all(call: Call) -> bool:
    return isinstance(call, TakeProfit) and call.order_type == "market" and call.sell_amount_relative == 100.0


def _carried_create(create: CreateSignal, carries: Carries) -> tuple[CreateSignal, tuple[Lost, ...]]:
    changes: dict[str, Any] = {}
    lost = [*_entry(create, carries, changes), *_exits(create, carries, changes), *_size(create, carries, changes)]
    return replace(create, **changes), tuple(lost)


def _entry(create: CreateSignal, carries: Carries, changes: dict[str, Any]) -> Iterator[Lost]:
    """Bring the entry to what the outlet says."""
    prices = [p for p in (create.entry_price_min, create.entry_price_mid, create.entry_price_max) if p is not None]
    if carries.entries == 0:
        yield Lost(
            "entry_price_max", " ".join(f"{p:.12g}" for p in prices), "it buys at the market when the message comes"
        )
        changes |= {**_NO_SHARES, **_anywhere(create)}
        return
    if create.is_split:
        yield from _split(create, carries, changes, prices)
        return
    if len(set(prices)) > 1 and not carries.zone:
        yield Lost(
            "entry_price_min" if create.side > 0 else "entry_price_max",
            f"{create.far_bound:.12g}",
            f"one order at {create.near_bound:.12g}",
        )
        # a lone maximum is the near bound of both sides (L4.1); version 1 needs both
        changes |= {"entry_price_max": create.near_bound, "entry_price_mid": None}
        changes["entry_price_min"] = create.near_bound if create.version == 1 else None


def _split(create: CreateSignal, carries: Carries, changes: dict[str, Any], prices: list[float]) -> Iterator[Lost]:
    """Bring several entry orders to as many as the outlet says, in equal parts."""
    shares = {name: getattr(create, name) for name in _NO_SHARES if getattr(create, name)}
    used = {name: getattr(create, f"entry_price_{name.removeprefix('invest_entry_')}") for name in shares}
    if carries.entries < len(used):
        near = create.side * max(create.side * price for price in used.values())
        yield Lost(
            "invest_entry_max",
            " ".join(f"{share:g}" for share in shares.values()),
            f"all of it in one order at {near:.12g}",
        )
        changes |= {**_NO_SHARES, "entry_price_max": near, "entry_price_min": None, "entry_price_mid": None}
        return
    equal = 100.0 / len(used)
    if any(abs(share - equal) > 0.5 for share in shares.values()):
        yield Lost("invest_entry_max", " ".join(f"{share:g}" for share in shares.values()), "equal parts")
        parts = dict.fromkeys(shares, round(equal, 2))
        rest = "invest_entry_mid" if "invest_entry_mid" in parts else next(iter(parts))
        parts[rest] = round(100.0 - sum(parts[name] for name in parts if name != rest), 2)
        changes |= {**_NO_SHARES, **parts}
    unused = [price for price in prices if price not in used.values()]
    if unused:
        yield Lost("entry_price_mid", " ".join(f"{p:.12g}" for p in unused), "an entry without a share is not said")


_NO_SHARES: dict[str, None] = {"invest_entry_min": None, "invest_entry_mid": None, "invest_entry_max": None}


def _anywhere(create: CreateSignal) -> dict[str, Any]:
    """Return an entry that buys wherever the market stands between stop and first target."""
    target = next(price for price in create.targets if price is not None)
    stop = create.stop_loss if create.stop_loss is not None else create.far_bound * (1.0 - 0.5 * create.side)
    bounds = sorted((stop + _BETWEEN * (target - stop), target - _BETWEEN * (target - stop)))
    return {"entry_price_min": bounds[0], "entry_price_mid": None, "entry_price_max": bounds[1]}


def _exits(create: CreateSignal, carries: Carries, changes: dict[str, Any]) -> Iterator[Lost]:
    """Bring targets and stop to what the outlet says."""
    prices = [price for price in create.targets if price is not None]
    if len(prices) > carries.targets:
        kept = prices[: carries.targets]
        left = ", ".join(f"{price:.12g}" for price in prices[carries.targets :])
        yield Lost(
            f"exit_price_{carries.targets + 1}",
            left,
            "not sold there" if kept else "the other side's settings decide where it sells",
        )
        if kept:
            changes["targets"] = tuple(kept)
    if create.stop_loss is not None and not carries.stop:
        yield Lost("stop_loss", f"{create.stop_loss:.12g}", "nothing ends its loss but a later call of this process")
        changes |= {"stop_loss": None, "allow_no_stop": True}
    if carries.of_fill and (carries.targets or carries.stop):
        yield Lost("of_fill", "", "targets and stop are percent of the fill: a better fill moves them")


def _size(create: CreateSignal, carries: Carries, changes: dict[str, Any]) -> Iterator[Lost]:
    """Bring amount, leverage and life to what the outlet says."""
    if carries.invest is None:
        yield Lost("invest", f"{create.invest:g} %", "the other side's settings decide how much")
    elif create.invest is not None and create.invest > carries.invest:
        yield Lost("invest", f"{create.invest:g} %", f"{carries.invest:g} %, the most that can be said")
        changes["invest"] = carries.invest
    if create.ttl_buy_order is not None and not carries.ttl:
        yield Lost("ttl_buy_order", f"{create.ttl_buy_order} ms", "entry orders rest until the other side ends them")
        changes["ttl_buy_order"] = None
    if create.leverage not in {None, 1.0} and not carries.leverage:
        yield Lost("leverage", f"{create.leverage:g}", "the other side's settings decide")
    if create.account == "FUTURES" and not carries.margin:
        yield Lost("margin_type", create.margin_type or "ISOLATED", "the other side's settings decide")
