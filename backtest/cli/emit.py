"""``backtest emit FILE.py``: a strategy's calls sent as candles close, or rehearsed on recorded ones.

The commands for the person beside an emission are modules of their own, ``emit_status`` and so on; here they get their names.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from backtest.cli import (
    emit_alert,
    emit_backup,
    emit_cancel,
    emit_check,
    emit_post,
    emit_resolve,
    emit_status,
    emit_stop,
    options,
)
from backtest.cli.dashboard import NamesOption

__all__ = ["register"]

_DEFAULT = "strategy"


class _Group(TyperGroup):
    """Takes ``emit FILE.py ...`` as the command for strategies."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the hidden command's name where a strategy was named."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Show what a strategy's emission takes before the other commands, as it has no name of its own to ask for."""
        named = self.commands[_DEFAULT]
        with formatter.section("Options of emit FILE.py"):
            records = [record for each in named.get_params(ctx) if (record := each.get_help_record(ctx))]
            formatter.write_dl([record for record in records if record[0] != "--help"])
        super().format_options(ctx, formatter)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    help="Send a strategy's calls: backtest emit strategies/breakout.py --paper --candles FILE --speed max",
)


def register(parent: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("status")(emit_status.status)
    app.command("backup")(emit_backup.backup)
    app.command("resolve")(emit_resolve.resolve)
    app.command("stop-entries")(emit_stop.stop_entries)
    app.command("alert")(emit_alert.alert)
    app.command("cancel-all")(emit_cancel.cancel_all)
    app.command("check")(emit_check.check)
    app.command("post")(emit_post.post)
    parent.add_typer(app, name="emit")


@app.command(_DEFAULT, hidden=True)
def emit(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: Annotated[str | None, typer.Argument(help="File of the strategy, where no settings name it.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="To the paper venue; this is the default.")] = False,
    live: Annotated[bool, typer.Option("--live", help="To the vendor, or to ANNY_BASE_URL.")] = False,
    candles: Annotated[
        list[str] | None, typer.Option("--candles", "-c", help="File, or sample:BTC/USD:1h; once for each market.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Candles a second, or max.")] = "max",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the requests, send none.")] = False,
    journal: Annotated[Path | None, typer.Option(help="SQLite file with every call; default emit.sqlite.")] = None,
    config: emit_check.ConfigOption = None,
    market: emit_check.MarketsOption = None,
    accept_new_code: Annotated[
        bool, typer.Option("--accept-new-code", help="Let code that decides otherwise than before go on.")
    ] = False,
    per_minute: emit_check.RateOption = None,
    account: emit_check.AccountOption = None,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    store: options.StoreOption = None,
    attachments_url: emit_post.PicturesOption = None,
    dashboard: Annotated[
        str | None, typer.Option(help="HOST:PORT of a page beside it, 127.0.0.1:8799 say; see backtest dashboard.")
    ] = None,
    dashboard_name: NamesOption = None,
    venue: emit_check.VenueOption = None,
    url: emit_check.UrlOption = None,
) -> None:
    """Send a strategy's calls as candles close, to the paper venue or live; with --candles rehearse it on recorded ones.

    A rehearsal is compared with the backtest byte for byte. Without ANNY_BASE_URL a paper venue is started for the time
    being, its ledger beside the journal. A first Ctrl-C or SIGTERM ends it after the calls on their way, a second one at
    once; the same command goes on. Exit status: 4 where an outcome is unknown, 3 where a rehearsal differs.

    backtest emit strategies/breakout.py --market BTC/USDT --exchange binance --timeframe 1h --paper
    """
    from backtest.cli.emit_beside import page
    from backtest.errors import InvalidSettingError
    from backtest.live.settings import LiveSettings

    if live and (paper or dry_run or candles):
        raise InvalidSettingError("--live runs on candles as they close; leave out --paper, --dry-run and --candles")
    sections: dict[str, Any] = {"limits": {"per_minute": per_minute}, "account": {"journal": journal}}
    sections["posts"] = {"attachments_url": attachments_url}
    if not candles:
        if strategy is not None and not market and config is None and not live:
            raise InvalidSettingError(
                "name --market BTC/USDT for candles as they close, or --candles FILE for a rehearsal"
            )
        flags = (strategy, market, exchange, timeframe, param, profile)
        settings = emit_check.settings_from(config, *flags, **sections)
        if venue is not None and not live:
            raise InvalidSettingError("--venue is another live venue: give --live with it")
        from backtest.cli.emit_live import go_live

        posting = emit_post.arguments_of(config, settings.account.journal, profile)
        with page(settings.account.journal, dashboard, dashboard_name):
            go_live(
                settings,
                "live" if live else "paper",
                account,
                store,
                url,
                posting,
                venue,
                accept_new_code=accept_new_code,
            )
        return
    if accept_new_code:
        raise InvalidSettingError(
            "--accept-new-code is for candles as they close; a rehearsal of other code takes another journal"
        )
    rehearsed = LiveSettings.load(config, sections)
    if strategy is None:
        raise InvalidSettingError("a rehearsal is of one strategy; name its file")
    chosen = options.strategy_from(strategy, param)
    if symbol is not None and len(candles) > 1:
        raise InvalidSettingError(
            f"--symbol names one market, there are {len(candles)} --candles; name files as their symbol"
        )
    found = [options.candles_from(each, symbol=symbol, timeframe=timeframe, exchange=exchange) for each in candles]
    series = {each.symbol: each for each in found}
    if len(series) < len(found):
        raise InvalidSettingError(f"each market has one --candles, were of {', '.join(each.symbol for each in found)}")
    traded = {
        each.symbol: replace(
            options.market_from(each, source=source, exchange=exchange, tick=tick, step=step),
            attachments_url=rehearsed.posts.attachments_url,
        )
        for each, source in zip(found, candles, strict=True)
    }
    from backtest.cli.emit_rehearsal import print_requests, rehearse_channel
    from backtest.live.channel import Channel

    channel = Channel(chosen, series, traded, options.profile_from(profile))
    if dry_run:
        print_requests(channel)
        return
    with page(rehearsed.account.journal, dashboard, dashboard_name):
        rehearse_channel(channel, rehearsed.limits, rehearsed.account.journal, speed)
