"""``backtest emit check``: every condition of going live, on the markets that were named; nothing is sent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable

    from backtest.live.readiness import History, OutletRead, Readiness
    from backtest.live.settings import LiveSettings
    from backtest.market_data.series import Series
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.venue.outlet.door import Outlet
    from backtest.venue.outlet.settings import OutletSecrets, OutletSettings

__all__ = ["check", "look", "outlet_of", "settings_from"]

_ACCOUNT = "ANNY_CONFIRM_ACCOUNT"

ConfigOption = Annotated[
    Path | None, typer.Option(help="TOML file with [account], [limits], [alerts], [[strategy]]; never with a secret.")
]
MarketsOption = Annotated[
    list[str] | None, typer.Option("--market", "-m", help="BTC/USDT; repeat it for several on one account.")
]
VenueOption = Annotated[
    Path | None,
    typer.Option("--venue", help="venue.toml of another venue than the Signal API: Cornix, a JSON webhook."),
]
RateOption = Annotated[int | None, typer.Option(help="Calls a minute; default 8.")]
AccountOption = Annotated[str | None, typer.Option(help="Fingerprint of the account, to confirm --live.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", hidden=True, help="Stands in for the exchange's scheme and host.")
]


def check(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: Annotated[str | None, typer.Argument(help="File of the strategy, where no settings name it.")] = None,
    config: ConfigOption = None,
    market: MarketsOption = None,
    exchange: options.ExchangeOption = None,
    timeframe: options.TimeframeOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    candles: Annotated[
        list[str] | None, typer.Option("--candles", "-c", help="Recorded candles of the markets; default: the store.")
    ] = None,
    store: options.StoreOption = None,
    journal: Annotated[Path | None, typer.Option(help="SQLite file; default emit.sqlite.")] = None,
    per_minute: RateOption = None,
    account: AccountOption = None,
    venue: VenueOption = None,
    url: UrlOption = None,
) -> None:
    """Look at every condition of going live and forecast the rate limit; send nothing, make nothing.

    Signals are looked at on recorded candles of the very markets: those of the store, or --candles. Exit status: 0 where
    all holds, 2 where something is missing, 3 where only an exchange or the disk fails.

    backtest emit check strategies/breakout.py --market BTC/USDT --exchange binance --timeframe 1h
    """
    flags = (strategy, market, exchange, timeframe, param, profile)
    settings = settings_from(config, *flags, limits={"per_minute": per_minute}, account={"journal": journal})
    found = look(settings, history_of(candles or [], store), account=account, url=url, venue=venue)
    if not found.holds:
        raise typer.Exit(found.exit_status)


def settings_from(
    config: Path | None,
    strategy: str | None,
    market: list[str] | None,
    exchange: str | None,
    timeframe: str | None,
    param: list[str] | None,
    profile: str,
    **sections: Any,
) -> LiveSettings:
    """Return the settings of a file and of flags; a strategy named by flags stands in for those of the file."""
    from backtest.live.settings import LiveSettings

    if strategy is not None:
        given = {"file": strategy, "exchange": exchange, "markets": market, "timeframe": timeframe}
        said: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        sections["strategy"] = [{**said, "parameters": options.parameters_from(param), "profile": profile}]
    return LiveSettings.load(config, sections)


def history_of(sources: list[str], store: str | None) -> History:
    """Return what finds recorded candles of a series: among those that were named, else in the store."""
    named: list[tuple[Candles, str]] = []

    def history(series: Series) -> tuple[Candles, Market]:
        from backtest.errors import InvalidSettingError
        from backtest.market_data.load import load_candles

        if sources and not named:
            only = {"symbol": series.symbol, "timeframe": series.timeframe} if len(sources) == 1 else {}
            wanted: dict[str, Any] = {**only, "exchange": series.exchange, "store": store}
            named.extend((options.candles_from(source, **wanted), source) for source in sources)
        for candles, source in named:
            if (candles.symbol, candles.timeframe) == (series.symbol, series.timeframe):
                return candles, options.market_from(candles, source=source, store=store)
        if named:
            known = ", ".join(f"{one.symbol} {one.timeframe}" for one, _ in named)
            raise InvalidSettingError(f"--candles has none of {series.symbol} {series.timeframe}, it has {known}")
        candles = load_candles(series.symbol, series.timeframe, exchange=series.exchange, store=store)
        return candles, options.market_from(candles, source=f"store:{series.exchange}", store=store)

    return history


def outlet_of(venue: Path) -> tuple[OutletSecrets, Callable[[Callable[[], float]], Outlet]]:
    """Return the secrets of another venue, and what makes its door on a clock."""
    from backtest.venue.outlet.door import Outlet
    from backtest.venue.outlet.settings import OutletSecrets, read_outlet
    from backtest.venue.rate import RateLimit

    settings, template = read_outlet(venue)
    secrets = OutletSecrets.load()

    def door(seconds: Callable[[], float]) -> Outlet:
        return Outlet(settings, secrets, template, rate=RateLimit(settings.limit, seconds))

    door(lambda: 0.0).close()  # a venue that cannot be used is met before anything else is looked at
    return secrets, door


def _read(venue: Path) -> OutletRead:
    from backtest.live.readiness import OutletRead
    from backtest.venue.outlet.settings import OutletSecrets

    def settings() -> tuple[OutletSettings, str]:
        _, door = outlet_of(venue)
        with door(lambda: 0.0) as outlet:
            found = outlet.settings
        text = f"{found.name} of {venue}, {found.limit} calls a minute, each at most {found.max_lag} s after its close"
        return found, text

    return OutletRead(OutletSecrets.load, settings)


def look(
    settings: LiveSettings,
    history: History,
    *,
    account: str | None,
    url: str | None,
    venue: Path | None = None,
) -> Readiness:
    """Print each condition and return them."""
    from backtest.live.readiness import readiness
    from backtest.market_data.exchange import Access
    from backtest.market_data.retry import Retry

    confirmed = account or os.environ.get(_ACCOUNT)
    access = Access(url, retry=Retry(2))
    outlet = None if venue is None else _read(venue)
    found = readiness(settings, history, options.profile_from, confirmed=confirmed, access=access, outlet=outlet)
    for one in found.checks:
        typer.echo(f"{'ok     ' if one.holds else 'MISSING'} {one.name}: {one.text}")
    return found
