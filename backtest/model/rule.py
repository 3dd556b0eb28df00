"""Rule: one sentence for each rule of the signal lifecycle, so that every step of a report can say why."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

__all__ = ["Rule"]


class Rule(StrEnum):
    """The rules by number, ``"L3.4"``, each with its sentence, for a long; a short is the mirror image.

    Attributes
    ----------
    sentence
        What the rule says, in one sentence.
    """

    sentence: str
    _value_: str

    def __new__(cls, number: str, sentence: str = "") -> Self:
        """Return the rule of a number, with its sentence."""
        rule = str.__new__(cls, number)
        rule._value_, rule.sentence = number, sentence
        return rule

    @property
    def code(self) -> int:
        """Chapter x 10 + number, as the engine writes it into its events: 34 for ``L3.4``, 122 for ``L12.2``."""
        chapter, _, number = self.value[1:].partition(".")
        return 10 * int(chapter) + int(number)

    L1_1 = "L1.1", "A candle is known at its close, never before."
    L1_2 = "L1.2", "A call acts on the first candle that opens at or after its arrival; latency is whole candles."
    L1_3 = "L1.3", "In one instant expiries come first, then calls in their order, then the open is traded."
    L1_4 = "L1.4", "A strategy learns of events at the close of the candle in which they happened."
    L2_1 = "L2.1", "Price walks the candle leg by leg, and the nearest level that a leg meets acts first."
    L2_2 = "L2.2", "The order of high and low inside a candle is not known, so it is read as the profile says."
    L2_3 = "L2.3", "Another reading of this candle gives other fills or leaves other stops: it is ambiguous."
    L2_4 = "L2.4", "Finer candles were walked in the place of this one."
    L2_5 = "L2.5", "Open and levels leave no doubt about this candle: every reading agrees."
    L2_6 = "L2.6", "A candle of volume 0 trades nothing; what waits meets the market at the next one that trades."
    L2_7 = (
        "L2.7",
        "A trailing distance smaller than the candle leaves even the interval in doubt: finer candles would decide.",
    )
    L3_1 = "L3.1", "A resting limit order fills on touch at its own price, as maker."
    L3_2 = (
        "L3.2",
        "A limit marketable when it arrives fills at once with slippage, never worse than its limit, as taker.",
    )
    L3_3 = "L3.3", "A market order fills at the next traded price, worsened by slippage, as taker."
    L3_4 = (
        "L3.4",
        "A stop market order fills at the stop, or where a gap jumped over it at the open, worsened by slippage.",
    )
    L3_5 = "L3.5", "A stop limit order sells between its trigger and its limit; beyond the limit it rests unfilled."
    L3_6 = "L3.6", "Prices and quantities are rounded to the market's tick and step, and a buy must reach its minimums."
    L3_7 = "L3.7", "Fees and slippage are those of the subscriber's profile."
    L3_8 = "L3.8", "What rounding or a still market makes impossible is refused at the desk, and the run goes on."
    L4_1 = (
        "L4.1",
        "A range entry buys the whole allocation at the first traded price inside the range and does not chase.",
    )
    L4_2 = "L4.2", "A split entry rests one limit order for each entry price that has a share."
    L4_3 = "L4.3", "A middle entry price without a split carries no order."
    L4_4 = "L4.4", "The time to live of the entry orders, counted from the create, was over."
    L4_5 = "L4.5", "The stop, or the first target, was reached before anything was bought."
    L4_6 = "L4.6", "Entry orders that are still unfilled are canceled when the first target fills."
    L5_1 = "L5.1", "The allocation is the signal's percent of the basis that the profile names."
    L5_2 = "L5.2", "The allocation pays for margin and entry fee; leverage is limited by the market's maximum."
    L5_3 = "L5.3", "What the free balance or a limit cannot carry is refused whole, nothing is shrunk."
    L5_4 = "L5.4", "The allocation is reserved when the signal is created, and released when its orders fill or die."
    L6_1 = "L6.1", "Each target rests as a limit order and sells its share of what was bought."
    L6_2 = "L6.2", "The only target that remains with a part of its own sells everything that is left."
    L6_3 = "L6.3", "A take profit whose part or rest is below the market's minimum is skipped for good."
    L6_4 = "L6.4", "The subscriber's own take profit sells everything there, before any other rule."
    L6_5 = "L6.5", "Trailing take profit: the target sells its share and moves the stop, never back."
    L7_1 = "L7.1", "The stop is placed with the first entry fill and covers exactly what is open."
    L7_2 = "L7.2", "The stop is judged at the close of the candle, and sells at market at the next open."
    L7_3 = "L7.3", "There is one protective order at a time."
    L8_1 = "L8.1", "A trailing stop keeps its distance from the last price at which its call acted."
    L8_2 = "L8.2", "A trailing stop replaces the stop before it, even a better one."
    L8_3 = "L8.3", "A trailing stop follows the best price since it was armed, and never moves back."
    L8_4 = "L8.4", "The trailing stop ratcheted, on the path or at the end of the candle as the reading says."
    L8_5 = "L8.5", "A trailing stop that waited for a position is armed by the fill, at the price traded there."
    L9_1 = "L9.1", "A take profit call sells its percent of what is open when it fills."
    L9_2 = "L9.2", "The trailing stop of a partial take profit is armed when that take profit fills."
    L9_3 = "L9.3", "A take profit without a position waits for the entry."
    L10_1 = "L10.1", "DCA: a resting limit order for the original allocation times the multiplier."
    L10_2 = "L10.2", "Rebuy: a range entry into its zone; its trailing stop is armed by its fill."
    L10_3 = "L10.3", "DCA and rebuy stay armed until the signal ends; stop and target prices do not move with them."
    L11_1 = "L11.1", "An update changes only what it names; levels that were reached are left alone."
    L11_2 = "L11.2", "A new stop or target beyond the market is refused, unless the call allows it to be marketable."
    L11_3 = "L11.3", "The signal is unknown or has ended."
    L12_1 = "L12.1", "Cancel kills all orders and sells the position at market at the next traded price."
    L12_2 = "L12.2", "A signal is closed when its position is back to zero and no buy order of its own is alive."
    L12_3 = "L12.3", "At the end of the data an open signal stays open, marked at the last close."
    L13_1 = (
        "L13.1",
        "Isolated margin: price reached the liquidation level, which costs what is left of the position's margin.",
    )
    L13_2 = (
        "L13.2",
        "Cross margin: the free balance and what the cross positions are worth fell to their maintenance margin.",
    )
    L13_3 = (
        "L13.3",
        "Funding is paid at each funding time on the open notional, from the free balance, then from the margin.",
    )
    L14_1 = "L14.1", "All signals share one account, in time order."
    L14_2 = "L14.2", "A limit of the profile (allocation, risk, frequency or most open) was reached."
    L14_3 = "L14.3", "Cash, margins and unrealised PnL add up at every instant."
