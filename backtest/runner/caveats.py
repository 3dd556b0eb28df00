"""Caveats: the sentences that a reader of the figures must know, one a kind, whatever the number of symbols."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from backtest.engine.codes import REFUSED
from backtest.model.calls import CreateSignal
from backtest.report import text
from backtest.runner.linting import lint_sentences
from backtest.runner.timing import timing_caveats
from backtest.strategy import Strategy

if TYPE_CHECKING:
    from backtest.engine.history import MarketHistory
    from backtest.runner.finished import Finished

__all__ = ["caveats"]


def caveats(run: Finished) -> list[str]:
    """Return what a reader of the figures must know of candles, market, account and calls."""
    histories = run.histories
    found = [f"This result is not to be believed, {one.check}: {one.sentence}." for one in run.checks.failed]
    found += [f"This run was not counted: {run.ledger_problem}."] if run.ledger_problem else []
    found += [] if run.state is None else [f"{run.state}."]
    found += [*_of_candles(run), *_of_market(histories)]
    free = [
        history.candles.symbol
        for history in histories
        if not len(history.funding) and run.venue.has_futures(history.candles.symbol)
    ]
    if free:
        found.append(f"No funding rates were given for {text.some(free)}: funding was taken as 0.")
    found += timing_caveats(run)
    found += _of_funding(run)
    found += _of_refusals(run)
    if not isinstance(run.strategy, Strategy):
        found.extend(run.strategy.warnings(histories))
    found.extend(lint_sentences(run.execution.decisions, histories, run.profile))
    return found


def _of_refusals(run: Finished) -> list[str]:
    """Say what the desk refused, by field, and how many creates the market or the account refused."""
    found, unsent = [], run.execution.refusals
    if unsent:
        were = "call was" if len(unsent) == 1 else "calls were"
        fields = Counter(one.field for one in unsent)
        by = ", ".join(f"{count:,} for {field}" for field, count in fields.most_common()) if len(fields) > 1 else ""
        first = f"the first, about {unsent[0].signal}: {unsent[0].reason}"
        found.append(f"{len(unsent):,} {were} refused at the desk and never sent{f' ({by})' if by else ''}; {first}.")
    never = {one.signal for one in unsent if isinstance(one.call, CreateSignal)}
    ended = zip(run.venue.refs, run.venue.outcomes()["status"], strict=True)
    refused = sum(status == REFUSED and ref not in never for ref, status in ended)
    if refused:
        were = "create was" if refused == 1 else "creates were"
        found.append(f"{refused:,} {were} refused by the market or the account; see the events of kind refused.")
    return found


def _of_candles(run: Finished) -> list[str]:
    found, histories = [], run.histories
    gaps = [f"{history.candles.gaps:,} of {history.candles.symbol}" for history in histories if history.candles.gaps]
    if gaps:
        found.append(
            f"Candles are missing between the first and the last: {text.some(gaps)}; nothing was invented for them."
        )
    still = [
        f"{len(history.candles.untraded):,} of {history.candles.symbol}"
        for history in histories
        if len(history.candles.untraded)
    ]
    if still and not run.assumptions.fill_without_volume:
        found.append(f"Candles of volume 0, in which nothing trades: {text.some(still)}.")
    unknown = [history.candles.symbol for history in histories if not history.candles.volume_known]
    if unknown:
        found.append(f"The volumes of {text.some(unknown)} are not known: every candle is taken to trade.")
    coarse = [
        f"{int((~history.complete()).sum()):,} of {text.plural(len(history.candles), 'candle')} of {history.candles.symbol}"
        for history in histories
        if history.detail is not None and not history.complete().all()
    ]
    if coarse:
        found.append(f"Detail candles were incomplete for {text.some(coarse)}, which were walked as they are.")
    return found


def _of_funding(run: Finished) -> list[str]:
    """Say where a perpetual was traded as if it were spot."""
    spot = [history.candles.symbol for history in run.histories if _is_spot(run, history)]
    if not spot:
        return []
    said = (
        f"The signals are for the SPOT account, the candles are of the perpetual {text.some(spot)}: its prices are not the "
        "spot market's, and no funding was charged."
    )
    return [said]


def _is_spot(run: Finished, history: MarketHistory) -> bool:
    symbol = history.candles.symbol
    creates = (decision.call for decision in run.execution.decisions if isinstance(decision.call, CreateSignal))
    address = (history.market.coin, history.market.trade_market)
    accounts = {create.account or "SPOT" for create in creates if (create.coin, create.trade_market) == address}
    return ":" in symbol and accounts == {"SPOT"}


def _of_market(histories: list[MarketHistory]) -> list[str]:
    found = []
    free = [history.candles.symbol for history in histories if history.market.price_grid.mantissa == 0.0]
    if free:
        found.append(f"No tick was given for {text.some(free)}, so prices were not rounded as the exchange would.")
    other = [
        f"{history.market.exchange} {history.market.coin}/{history.market.trade_market} for candles of {history.candles.symbol}"
        for history in histories
        if f"{history.market.coin}/{history.market.trade_market}" != history.candles.symbol.partition(":")[0]
    ]
    if other:
        found.append(f"The signals are emitted for another market than that of the candles: {text.some(other)}.")
    return found
