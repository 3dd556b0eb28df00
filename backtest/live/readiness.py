"""Readiness: every condition of live emission, looked at on the markets that were named, without sending anything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from backtest.errors import BacktestError, InvalidSettingError, StorageError
from backtest.live.forecast import forecast
from backtest.live.intent import intents_of
from backtest.live.journal import Journal
from backtest.live.schema import Stream
from backtest.market_data.exchange import connect
from backtest.market_data.market_rules import read_rules
from backtest.model.calls import CreateSignal
from backtest.runner.linting import lint_decisions
from backtest.runner.loading import load_strategy
from backtest.runner.run import histories_of, run
from backtest.venue.credentials import Credentials
from backtest.venue.outlet.carried import carry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from backtest.live.intent import Intent
    from backtest.live.settings import LiveSettings, StrategySettings
    from backtest.market_data.exchange import Access
    from backtest.market_data.series import Series
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile
    from backtest.runner.result import Result
    from backtest.strategy import Strategy
    from backtest.venue.outlet.settings import OutletSecrets, OutletSettings

    History = Callable[[Series], tuple[Candles, Market]]

__all__ = ["Check", "OutletRead", "Readiness", "readiness"]

_CLOCK_OFF = 2.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OutletRead:
    """How another venue than the Signal API is read.

    Attributes
    ----------
    secrets
        Returns its address and secret.
    settings
        Returns its settings and a sentence about it, having seen that a door to it can be made.
    """

    secrets: Callable[[], OutletSecrets]
    settings: Callable[[], tuple[OutletSettings, str]]


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of live emission: whether it holds, and a sentence.

    Attributes
    ----------
    name, holds, text
        What was looked at, how it stands, and why.
    exit_status
        That of a command which ends for it: 2 where the request is at fault, 3 where the world is; 0 where it holds.
    """

    name: str
    holds: bool
    text: str
    exit_status: int = 0


@dataclass(frozen=True)
class Readiness:
    """All conditions, in the order in which they were looked at."""

    checks: Sequence[Check]

    @property
    def holds(self) -> bool:
        """Whether live emission may start."""
        return all(check.holds for check in self.checks)

    @property
    def exit_status(self) -> int:
        """0 where all hold, 3 where only the world fails (network, disk), else 2."""
        failed = [check.exit_status for check in self.checks if not check.holds]
        return min(failed, default=0)


def readiness(
    settings: LiveSettings,
    history: History,
    profile_of: Callable[[str], SubscriberProfile],
    *,
    confirmed: str | None = None,
    access: Access | None = None,
    outlet: OutletRead | None = None,
) -> Readiness:
    """Look at every condition; live emission starts where all hold.

    Parameters
    ----------
    settings
        Strategies with their markets, the limits, the account.
    history
        Returns recorded candles of a series, on which the strategy's signals are looked at, and its market.
    profile_of
        Returns a subscriber's profile by the name that the settings give.
    confirmed
        The account's fingerprint as typed or from the environment; None takes that of the settings.
    access
        How exchanges are reached.
    outlet
        Reads another venue's secrets and settings; None: calls go to the Signal API.
    """
    looking = _Looking(settings, history, profile_of, access)
    looking.outlet = outlet
    looking.account(confirmed or settings.account.fingerprint)
    if not settings.strategy:
        looking.look("strategies", _no_strategy)
    asyncio.run(looking.exchanges())
    for number, each in enumerate(settings.strategy, 1):
        looking.strategy(number, each)
    looking.limiter()
    return Readiness(looking.checks)


class _Looking:
    """Collects the conditions, and what a later one needs of an earlier one."""

    def __init__(
        self,
        settings: LiveSettings,
        history: History,
        profile_of: Callable[[str], SubscriberProfile],
        access: Access | None,
    ) -> None:
        self.settings, self._history, self._profile_of, self._access = settings, history, profile_of, access
        self.checks: list[Check] = []
        self._rules: dict[Series, Market] = {}
        self._intents: list[Intent] = []
        self._pnl: dict[tuple[str, str], float] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self.outlet: OutletRead | None = None
        self._venue: OutletSettings | None = None

    def look(self, name: str, condition: Callable[[], tuple[T, str]]) -> T | None:
        """Note whether a condition holds; return what it found out."""
        try:
            found, text = condition()
        except BacktestError as error:
            self.checks.append(Check(name, holds=False, text=str(error), exit_status=error.exit_status))
            return None
        self.checks.append(Check(name, holds=True, text=text))
        return found

    # ------------------------------------------------------------ account, journal

    def account(self, confirmed: str | None) -> None:
        """Look at the credentials, at whether this account is meant, and at its journal."""
        found = self.look("credentials", self._credentials)
        if self.outlet is not None:
            self._venue = self.look("venue", self.outlet.settings)

        def confirmation() -> tuple[bool, str]:
            if found is None:
                raise InvalidSettingError("unknown without credentials")
            if confirmed != found.fingerprint:
                said = f"account {confirmed} was named, this is {found.fingerprint}; " if confirmed else ""
                raise InvalidSettingError(
                    f"{said}type the account's fingerprint: --account {found.fingerprint}, or set ANNY_CONFIRM_ACCOUNT"
                )
            return True, "the account was named"

        self.look("confirmation", confirmation)
        self.look("journal", lambda: self._journal(found))

    def _credentials(self) -> tuple[Credentials | OutletSecrets, str]:
        outlet = self.outlet
        found = Credentials.load(self.settings.account.secret_file) if outlet is None else outlet.secrets()
        return found, f"account {found.fingerprint} at {found.base_url}"

    def _journal(self, credentials: Credentials | OutletSecrets | None) -> tuple[bool, str]:
        """Look without making anything: a check leaves no trace."""
        path = self.settings.account.journal
        if credentials is None:
            raise InvalidSettingError("unknown without credentials")
        if not path.exists():
            folder = next(parent for parent in (path.absolute().parent, *path.absolute().parents) if parent.exists())
            if not _may_write(folder):
                raise StorageError(f"{path} cannot be made: {folder} may not be written")
            return True, f"{path} will be made"
        with Journal(path) as journal:
            last = journal.last_run()
        if last is not None and (last.mode, last.account) != ("live", credentials.fingerprint):
            raise InvalidSettingError(
                f"{path} is the journal of the {last.mode} account {last.account}, not of the live account "
                f"{credentials.fingerprint}; name another file"
            )
        for needed in (path, path.absolute().parent):  # SQLite's log lies beside the file
            if not _may_write(needed):
                raise StorageError(f"{path} cannot be used: {needed} may not be written")
        return True, f"{path} goes on"

    # ------------------------------------------------------------ exchanges

    async def exchanges(self) -> None:
        """Look at each exchange's clock, and at each market and timeframe."""
        named: dict[str, list[Series]] = {}
        for each in self.settings.strategy:
            for series in each.series:
                named.setdefault(series.exchange, []).append(series)
        for name, wanted in named.items():
            try:
                await self._exchange(name, list(dict.fromkeys(wanted)))
            except BacktestError as error:
                self.checks.append(
                    Check(f"exchange {name}", holds=False, text=str(error), exit_status=error.exit_status)
                )

    async def _exchange(self, name: str, wanted: Sequence[Series]) -> None:
        async with connect(name, [series.symbol for series in wanted], self._access) as exchange:
            off = exchange.ahead / 1000.0
            if abs(off) > _CLOCK_OFF:
                text = f"this machine's clock is {abs(off):.1f} s {'behind' if off > 0 else 'ahead of'} that of {name}; set it"
                self.checks.append(Check(f"clock of {name}", holds=False, text=text, exit_status=3))
            else:
                self.checks.append(
                    Check(f"clock of {name}", holds=True, text=f"{abs(off):.1f} s off, at most {_CLOCK_OFF:g}")
                )
            for series in wanted:
                try:
                    symbol = exchange.symbol(series.symbol)
                    exchange.check_timeframe(series.timeframe)
                    if not exchange.market(symbol).get("active", True):
                        raise InvalidSettingError(f"{name} does not trade {symbol} at the moment")
                    rules = self._rules[series] = await read_rules(exchange, symbol)
                except BacktestError as error:
                    self.checks.append(
                        Check(f"market {series}", holds=False, text=str(error), exit_status=error.exit_status)
                    )
                    continue
                least = f"least order {rules.min_amount:g} {rules.coin} and {rules.min_cost:g} {rules.trade_market}"
                text = f"tick {rules.tick}, step {rules.step}, {least}"
                self.checks.append(Check(f"market {series}", holds=True, text=text))

    # ------------------------------------------------------------ strategies

    def strategy(self, number: int, each: StrategySettings) -> None:
        """Look at one strategy: that it loads, has candles, and makes signals that may be sent."""
        made = self.look(f"strategy {number}", lambda: self._load(number, each))
        if made is None:
            return
        strategy, profile = made
        name = f"{type(strategy).__name__} {each.timeframe}"
        candles = self.look(f"candles of {name}", lambda: self._candles(each))
        if candles is None:
            return
        markets = {symbol: market for symbol, (_, market) in candles.items()}
        rows = {symbol: one for symbol, (one, _) in candles.items()}
        result = self.look(f"backtest of {name}", lambda: _backtest(strategy, rows, markets, profile))
        if result is None:
            return
        self.look(f"stops of {name}", lambda: self._stops(result))
        self.look(f"lint of {name}", lambda: _lint(result, rows, markets, profile))
        self.look(f"checks of {name}", lambda: _honest(result))
        if self._venue is not None:
            venue = self._venue
            self.look(f"{venue.name} of {name}", lambda: _carried(result, venue))
        self._keep(strategy, result, each.timeframe)

    def _load(self, number: int, each: StrategySettings) -> tuple[tuple[Strategy, SubscriberProfile], str]:
        strategy = load_strategy(each.file)(**each.parameters)
        profile = self._profile_of(each.profile)
        for series in each.series:
            other = self._seen.setdefault((strategy.identity, str(series)), number)
            if other != number:
                raise InvalidSettingError(
                    f"strategy {number} is strategy {other} once more on {series}: its calls would be sent twice; "
                    "leave one out"
                )
        return (
            strategy,
            profile,
        ), f"{type(strategy).__name__} of {each.file} on {', '.join(each.markets)}, {each.timeframe}"

    def _candles(self, each: StrategySettings) -> tuple[dict[str, tuple[Candles, Market]], str]:
        found = {}
        for series in each.series:
            candles, market = self._history(series)
            rules = self._rules.get(series)
            if rules is not None:
                rules = replace(rules, symbol=candles.symbol, coin=rules.coin, trade_market=rules.trade_market)
            found[candles.symbol] = (candles, rules or market)
        count = sum(len(candles) for candles, _ in found.values())
        return found, f"{count:,} of {', '.join(found)}"

    def _stops(self, result: Result) -> tuple[bool, str]:
        """Look for a create without a stop: the venue, not our process, must protect a position when we die."""
        creates = [decision.call for decision in result.calls if isinstance(decision.call, CreateSignal)]
        bare = [call for call in creates if call.stop_loss is None and not call.allow_no_stop]
        if bare and not self.settings.limits.allow_no_stop:
            raise InvalidSettingError(
                f"{len(bare)} of {len(creates)} signals have no stop_loss, the first is {bare[0].ref}; give them one, or "
                "allow_no_stop"
            )
        return True, f"{len(creates)} signals" + ("" if bare else ", each with a stop")

    def _keep(self, strategy: Strategy, result: Result, timeframe: str) -> None:
        """Keep calls and what came of them for the limiter."""
        identity = f"{strategy.identity} {timeframe}"
        lag = None if self._venue is None else self._venue.max_lag * 1000
        for decision in result.calls:
            stream = Stream("", identity, "", timeframe, max_lag=lag)
            self._intents += intents_of(stream, decision.at, [decision.call])
        for signal, pnl in zip(result.trades["signal"], result.trades["pnl"], strict=True):
            self._pnl[identity, signal] = self._pnl.get((identity, signal), 0.0) + float(pnl)

    def limiter(self) -> None:
        """Say what the rate limit would have done to all calls together."""
        if self._intents:
            rate = self.settings.limits.per_minute if self._venue is None else self._venue.limit
            found = forecast(self._intents, rate, self._pnl)
            self.look("limiter", lambda: (found, found.sentence))


def _no_strategy() -> tuple[None, str]:
    raise InvalidSettingError("no strategy was named: give a file, or a [[strategy]] in the settings")


def _may_write(path: Path) -> bool:
    import os

    return os.access(path, os.W_OK)


def _backtest(
    strategy: Strategy, candles: dict[str, Candles], markets: dict[str, Market], profile: SubscriberProfile
) -> tuple[Result, str]:
    try:
        result = run(strategy, candles, market=markets, profile=profile, checks="full")
    except BacktestError:
        raise
    except Exception as error:  # a strategy's own code: whatever it raises is its author's
        raise InvalidSettingError(f"{type(strategy).__name__} raised {type(error).__name__}: {error}") from error
    return result, f"{len(result.calls):,} calls"


def _lint(
    result: Result, candles: dict[str, Candles], markets: dict[str, Market], profile: SubscriberProfile
) -> tuple[bool, str]:
    """Say what is refused alone (L3.8) and what lint warns of; neither holds up the rest."""
    creates = sum(isinstance(one.call, CreateSignal) for one in result.calls)
    found = [
        f"{one.sentence} ({one.finding.code})"
        for one in lint_decisions(result.calls, histories_of(candles, markets), profile)
    ]
    if result.refused:
        first = result.refused[0]
        text = f"{len(result.refused):,} refused and not sent, the first about {first.signal}: {first.reason}"
        if not creates:
            raise InvalidSettingError(text)
        found.insert(0, text)
    return True, "; ".join(found) or "nothing"


def _carried(result: Result, venue: OutletSettings) -> tuple[bool, str]:
    """Say how much of the calls another venue can say; a venue that can say no signal is of no use."""
    calls = [decision.call for decision in result.calls]
    found = [carry(call, venue.says) for call in calls]
    kept = [said for said, _ in found if said is not None]
    if calls and not any(isinstance(said, CreateSignal) for said in kept):
        raise InvalidSettingError(f"{venue.name} can say none of the {len(calls):,} calls")
    less = sum(said is not None and bool(lost) for said, lost in found)
    text = f"{len(calls) - len(kept):,} of {len(calls):,} calls cannot be said and are not sent, {less:,} lose a part"
    return True, f"{text}; backtest loss prices it" if less or len(kept) < len(calls) else "carries every call whole"


def _honest(result: Result) -> tuple[bool, str]:
    """Say what the checks of the run found: look-ahead, state, history that does not suffice."""
    found = [f"{finding.check}: {finding.sentence}" for finding in result.checks]
    if result.checks.failed:
        raise InvalidSettingError("; ".join(found))
    return True, "; ".join(found) or "nothing to look at"
