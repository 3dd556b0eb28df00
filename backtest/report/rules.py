"""Rules: one sentence for each rule of the signal lifecycle, so that every step of a report can say why."""

from __future__ import annotations

__all__ = ["RULES", "why"]

RULES = {
    "L1.1": "A candle is known at its close, never before.",
    "L1.2": "A call acts on the first candle that opens at or after its arrival.",
    "L1.3": "In one instant expiries come first, then calls in their order, then the open is traded.",
    "L1.4": "A strategy learns of events at the close of the candle in which they happened.",
    "L2.1": "Price walks the candle leg by leg, and the nearest level that a leg meets acts first.",
    "L2.2": "The order of high and low inside a candle is not known, so it is read as the profile says.",
    "L2.3": "Another reading of this candle gives other fills: it is ambiguous.",
    "L2.4": "Finer candles were walked in the place of this one.",
    "L2.5": "Open and levels leave no doubt about this candle: every reading agrees.",
    "L3.1": "A resting limit order fills on touch at its own price, as maker.",
    "L3.2": "A limit marketable when it arrives fills at once with slippage, never worse than its limit, as taker.",
    "L3.3": "A market order fills at the next traded price, worsened by slippage, as taker.",
    "L3.4": "A stop market order fills at the stop, or where a gap jumped over it at the open, worsened by slippage.",
    "L3.5": "A stop limit order sells between its trigger and its limit; beyond the limit it rests unfilled.",
    "L3.6": "Prices and quantities are rounded to the market's tick and step, and a buy must reach its minimums.",
    "L3.7": "Fees and slippage are those of the subscriber's profile.",
    "L4.1": "A range entry buys the whole allocation at the first traded price inside the range and does not chase.",
    "L4.2": "A split entry rests one limit order for each entry price that has a share.",
    "L4.3": "A middle entry price without a split carries no order.",
    "L4.4": "The time to live of the entry orders, counted from the create, was over.",
    "L4.5": "The stop, or the first target, was reached before anything was bought.",
    "L4.6": "Entry orders that are still unfilled are canceled when the first target fills.",
    "L5.1": "The allocation is the signal's percent of the basis that the profile names.",
    "L5.2": "The allocation pays for margin and entry fee; leverage is limited by the market's maximum.",
    "L5.3": "What the free balance or a limit cannot carry is refused whole, nothing is shrunk.",
    "L5.4": "The allocation is reserved when the signal is created, and released when its orders fill or die.",
    "L6.1": "Each target rests as a limit order and sells its share of what was bought.",
    "L6.2": "The only target that remains sells everything that is left.",
    "L6.3": "A take profit whose part or rest is below the market's minimum is skipped for good.",
    "L6.4": "The subscriber's own take profit sells everything there, before any other rule.",
    "L6.5": "Trailing take profit: the target sells its share and moves the stop, never back.",
    "L7.1": "The stop is placed with the first entry fill and covers exactly what is open.",
    "L7.2": "The stop is judged at the close of the candle, and sells at market at the next open.",
    "L7.3": "There is one protective order at a time.",
    "L8.1": "A trailing stop keeps its distance from the last price at which its call acted.",
    "L8.2": "A trailing stop replaces the stop before it, even a better one.",
    "L8.3": "A trailing stop follows the best price since it was armed, and never moves back.",
    "L8.4": "The trailing stop ratcheted, on the path or at the end of the candle as the reading says.",
    "L8.5": "A trailing stop that waited for a position is armed by the fill.",
    "L9.1": "A take profit call sells its percent of what is open when it fills.",
    "L9.2": "The trailing stop of a partial take profit is armed when that take profit fills.",
    "L9.3": "A take profit without a position waits for the entry.",
    "L10.1": "DCA: a resting limit order for the original allocation times the multiplier.",
    "L10.2": "Rebuy: a range entry into its zone; its trailing stop is armed by its fill.",
    "L10.3": "DCA and rebuy stay armed until the signal ends; stop and target prices do not move with them.",
    "L11.1": "An update changes only what it names; levels that were reached are left alone.",
    "L11.2": "A new stop or target beyond the market is refused, unless the call allows it to trade at once.",
    "L11.3": "The signal is unknown or has ended.",
    "L12.1": "Cancel kills all orders and sells the position at market at the next traded price.",
    "L12.2": "A signal is closed when its position is back to zero and no buy order of its own is alive.",
    "L12.3": "At the end of the data an open signal stays open, marked at the last close.",
    "L13.1": "Isolated margin: price reached the liquidation level, which costs the whole margin of the position.",
    "L13.2": "Cross margin: equity fell to the maintenance margin of all positions.",
    "L13.3": "Funding is charged at each funding time on the open notional.",
    "L14.1": "All signals share one account, in time order.",
    "L14.2": "A limit of the profile (allocation, risk, frequency or most open) was reached.",
    "L14.3": "Cash, margins and unrealised PnL add up at every instant.",
}
"""The sentences, for a long; a short is the mirror image."""


def why(rule: str) -> str:
    """Return the sentence of a rule such as ``"L3.4"``; empty for one that is not known."""
    return RULES.get(rule, "")
