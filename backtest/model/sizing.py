"""Sizing: what a subscriber's account makes of a create, before any candle is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backtest.model.grid import decimal_text

if TYPE_CHECKING:
    from backtest.model.calls import CreateSignal
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile

__all__ = ["Sizing", "shown"]

_TIE = 1e-9


class Sizing:
    """Leverage, notional and orders of a create on one account, by the initial balance.

    Attributes
    ----------
    leverage
        As executed: 1 on SPOT, lowered to the market's maximum elsewhere (L5.2).
    entries
        Field, price and share (a fraction) of each entry order; a range is one, at its near bound.
    """

    __slots__ = ("create", "entries", "leverage", "market", "profile", "side")

    def __init__(self, create: CreateSignal, market: Market, profile: SubscriberProfile) -> None:
        self.create, self.market, self.profile, self.side = create, market, profile, create.side
        self.leverage = min(create.leverage or 1.0, market.max_leverage) if self.is_borrowed else 1.0
        self.entries = self._entries()

    @property
    def is_borrowed(self) -> bool:
        """Whether the account is one with leverage and liquidation."""
        return self.create.account in {"MARGIN", "FUTURES"}

    def notional(self, percent: float) -> float:
        """Return what a percent of the balance buys, quote currency; it pays for the entry fee too (L5.2)."""
        profile = self.profile
        fee = max(profile.maker_fee, profile.taker_fee)
        return profile.balance * percent / 100.0 / (1.0 + self.leverage * fee) * self.leverage

    def quantity(self, percent: float, price: float) -> float:
        """Return the quantity that a percent of the balance buys at a price, on the market's step."""
        return self.market.quantity_grid.down(self.notional(percent) / price)

    def is_too_small(self, quantity: float, price: float) -> bool:
        """Whether an order is below the market's minimums (L3.6)."""
        market = self.market
        below = quantity < market.min_amount * (1.0 - _TIE) or quantity * price < market.min_cost * (1.0 - _TIE)
        return below or quantity <= 0.0

    @property
    def is_ample(self) -> bool:
        """Whether every order is at least twice the minimums with equal parts, so that none need be counted."""
        if self.profile.target_shares is not None:
            return False
        prices = [price for price in self.create.targets if price is not None]
        low, high = min(*prices, self.create.far_bound), max(*prices, self.create.near_bound)
        share = min(entry[2] for entry in self.entries) / len(prices)
        quantity = self.notional((self.create.invest or 0.0) * share) / high
        grid = self.market.quantity_grid
        return (
            quantity > 2.0 * self.market.min_amount + 100.0 * grid.mantissa / grid.scale
            and quantity * low > 2.0 * self.market.min_cost
        )

    def target_parts(self) -> list[tuple[int, float, float, bool]]:
        """Return number, price, quantity and whether it is skipped of each target, all entries being filled (L6).

        What a skipped target would have sold stays in the position (L6.3).
        """
        invest = self.create.invest or 0.0
        held = total = sum(self.quantity(invest * share, price) for _, price, share in self.entries)
        shares = self._target_shares()
        parts = []
        for place, (number, price, share) in enumerate(shares):
            is_last = place == len(shares) - 1
            part = held if is_last else min(self.market.quantity_grid.down(total * share), held)
            rest = held - part
            skipped = self.is_too_small(part, price) or (rest > 0.0 and self.is_too_small(rest, price))
            held = held if skipped else rest
            parts.append((number, price, part, skipped and share > 0.0))
        return parts

    def liquidation(self, average: float) -> float | None:
        """Return the level of an isolated position (L13.1); None where nothing is liquidated by itself."""
        if not self.is_borrowed or self.create.margin_type == "CROSS":
            return None
        return average * (1.0 - self.side * (1.0 / self.leverage - self.market.maintenance_margin_rate))

    def in_words(self, quantity: float, price: float) -> str:
        """Return an order as a reader wants it: base and quote."""
        create = self.create
        return f"{decimal_text(quantity)} {create.coin} ({quantity * price:.2f} {create.trade_market})"

    def _entries(self) -> list[tuple[str, float, float]]:
        create = self.create
        if not create.is_split:
            place = "min" if create.side < 0 and create.entry_price_min is not None else "max"
            return [(f"{'entry' if create.version == 2 else 'buy'}_price_{place}", create.near_bound, 1.0)]
        split = (
            ("entry_price_min", create.entry_price_min, create.invest_entry_min),
            ("entry_price_mid", create.entry_price_mid, create.invest_entry_mid),
            ("entry_price_max", create.entry_price_max, create.invest_entry_max),
        )
        return [(name, price, share / 100.0) for name, price, share in split if share and price is not None]

    def _target_shares(self) -> list[tuple[int, float, float]]:
        """Return number, price and share (a fraction) of each target, up to the one that sells all (L6.1, L6.4)."""
        listed = [(number, price) for number, price in enumerate(self.create.targets, 1) if price is not None]
        given = self.profile.target_shares
        if given is None:
            found = [(number, price, 1.0 / len(listed)) for number, price in listed]
        else:
            found = [
                (number, price, (given[number - 1] if number <= len(given) else 0.0) / 100.0)
                for number, price in listed
            ]
            number, price, share = found[-1]
            found[-1] = (number, price, share + max(0.0, 1.0 - sum(part for _, _, part in found)))
        chosen = self.profile.take_profit_at
        return [one for one in found if not isinstance(chosen, int) or one[0] <= chosen] or found


def shown(price: float) -> str:
    """Return a price for a sentence: eight digits, no exponent."""
    return decimal_text(float(f"{price:.8g}"))
