"""``backtest reconcile``: what an emission did, held against the backtest; ``backtest verify``: a track record."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backtest.live.reconcile import Judge
    from backtest.live.reconcile_candles import Stored
    from backtest.live.snapshot import Place, Snapshot
    from backtest.model.candles import Candles
    from backtest.model.market import Market
    from backtest.model.profile import SubscriberProfile

__all__ = ["markets_from", "profiles_from", "register"]


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("reconcile")(reconcile)
    app.command("verify")(verify)


def reconcile(  # noqa: PLR0913, PLR0917  every option is an argument
    journal: Annotated[Path, typer.Argument(help="The emission's journal; one that is being written will do.")],
    strategy: Annotated[str | None, typer.Option("--strategy", "-s", help="File of the strategy that emitted.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of the emission, in place of --strategy.")] = None,
    param: options.ParamOption = None,
    profile: Annotated[
        str | None, typer.Option(help="anny, exchange, or a JSON file; default anny, or of the file.")
    ] = None,
    candles: Annotated[
        list[str] | None,
        typer.Option("--candles", "-c", help="Candles to hold those acted on against, in place of a store."),
    ] = None,
    store: options.StoreOption = None,
    exchange: Annotated[str | None, typer.Option(help="Of a strategy that was on several, the one meant.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of a strategy that was on several, the one meant.")] = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the page and the figures.")] = None,
    publish: Annotated[
        Path | None, typer.Option(help="Track record to which calls sent and results are added.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Hold candles acted on against a store, and calls sent against the backtest, and price every difference.

    Nothing is sent, fetched or written into the journal. Exit status: 4 while an outcome is unknown, 3 where the strategy
    decides otherwise now than it did on the very same candles.

    backtest reconcile emit.sqlite --config live.toml
    """
    from backtest.live.reconcile import reconcile as hold
    from backtest.live.snapshot import snapshot

    book = snapshot(journal, exchange=exchange or "", timeframe=timeframe or "")
    chosen = None if profile is None else options.profile_from(profile)
    judges = _judges(book, config, strategy, param, chosen)
    named = [(options.candles_from(each), each) for each in candles or []]
    rules = markets_from(named, store, tick=tick, step=step)
    found = hold(
        book,
        judges,
        rules,
        _stored(named, store),
        chosen,
    )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        from rich.console import Console

        from backtest.live.reconcile_console import render_drift

        typer.echo(found.verdict)
        Console().print(render_drift(found))
    if out is not None:
        from backtest.live.reconcile_page import write_drift

        typer.echo(f"page    {write_drift(found, out)}", err=as_json)
    if publish is not None:
        from backtest.live.track_record import publish as add

        by_identity = {judge.strategy.identity: judge.profile for judge in judges}
        record, new = add(publish, book, rules, profiles_from(by_identity, chosen))
        lines = f"{len(record.lines):,} lines, {new:,} new"
        typer.echo(f"record  {publish}: {lines}\nhead    {record.head}", err=as_json)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def verify(
    record: Annotated[Path, typer.Argument(help="Track record, as reconcile --publish writes it.")],
    since: Annotated[
        str | None, typer.Option(help="Earlier copy of it, or a head that was published: at least 16 hex digits.")
    ] = None,
    candles: Annotated[
        list[str] | None,
        typer.Option("--candles", "-c", help="Candles to hold its prices against, in place of a store."),
    ] = None,
    store: options.StoreOption = None,
) -> None:
    """Hold a published track record against an earlier copy or head of it, its prices against candles; exit status 2 if not.

    (Candles of the store are looked at by data verify, the rows of a journal by emit status --verify.)

    backtest verify record.jsonl --since yesterday.jsonl
    """
    from backtest.live.track_verify import verify_record

    named = [(options.candles_from(each), each) for each in candles or []]
    found = verify_record(record, since, _candles(named, store))
    typer.echo(found.sentence)


def _candles(
    named: list[tuple[Candles, str]], store: str | None
) -> Callable[[str, str, str, int, int], Candles | None] | None:
    """Return what finds candles of an exchange's series between two open times; None where no candles were named."""
    if not named and store is None:
        return None
    stored_of = _stored(named, store)

    def candles_of(exchange: str, symbol: str, timeframe: str, first: int, last: int) -> Candles | None:
        found = stored_of((exchange, symbol, timeframe), first, last)
        return None if found is None else found.candles

    return candles_of


def profiles_from(
    named: Mapping[str, SubscriberProfile | None], chosen: SubscriberProfile | None
) -> Callable[[str, SubscriberProfile | None], SubscriberProfile]:
    """Return what finds on whose account results are counted: as it was chosen, named or kept, else the vendor's own.

    Parameters
    ----------
    named
        By the strategy's identity.
    chosen
        For all of them.
    """
    from backtest.model.profile import SubscriberProfile

    return lambda identity, kept: chosen or named.get(identity) or kept or SubscriberProfile.anny()


def _judges(
    book: Snapshot, config: Path | None, strategy: str | None, param: list[str] | None, chosen: SubscriberProfile | None
) -> list[Judge]:
    """Return the strategies that a file or the options name; without parameters, with those that the journal knows."""
    from backtest.errors import InvalidSettingError
    from backtest.live.reconcile import Judge
    from backtest.runner.loading import load_strategy

    if strategy is not None:
        made = load_strategy(strategy)
        known = [codes[-1] for codes in book.codes.values() if codes and codes[-1].name == made.__name__]
        if not param and len(known) == 1:
            return [Judge(made(**json.loads(known[0].parameters)), chosen)]
        return [Judge(made(**options.parameters_from(param)), chosen)]
    if param:
        raise InvalidSettingError("--param is of a strategy; name its file with --strategy")
    if config is None:
        return []
    from backtest.live.settings import LiveSettings

    return [
        Judge(load_strategy(each.file)(**each.parameters), chosen or options.profile_from(each.profile))
        for each in LiveSettings.load(config).strategy
    ]


def markets_from(
    named: list[tuple[Candles, str]], store: str | None, *, tick: str | None = None, step: str | None = None
) -> Callable[[Place, Market | None], Market]:
    """Return what finds the rules of a market: of the journal, else of the named candles, the store, or the sample.

    Parameters
    ----------
    named
        Candles, each with the source that named them.
    store
        Of ``--store``.
    tick, step
        Of all markets, where the options say them.
    """
    changes: dict[str, Any] = {name: value for name, value in (("tick", tick), ("step", step)) if value is not None}

    def market_of(place: Place, known: Market | None) -> Market:
        import numpy as np

        from backtest.model.candles import Candles

        exchange, symbol, timeframe = place
        if known is not None:
            return replace(known, **changes)
        for one, source in named:
            if (one.symbol, one.timeframe) == (symbol, timeframe):
                return options.market_from(one, source=source, tick=tick, step=step, store=store)
        none = np.empty(0)
        empty = Candles(symbol, timeframe, none.astype(np.int64), none, none, none, none, none, exchange=exchange)
        source = "store:" if exchange else ""
        return options.market_from(empty, source=source, tick=tick, step=step, store=store)

    return market_of


def _stored(named: list[tuple[Candles, str]], store: str | None) -> Callable[[Place, int, int], Stored | None]:
    """Return what finds a store's candles of a series; a store that was named must have some of the span."""

    def stored_of(place: Place, first: int, last: int) -> Stored | None:
        from backtest.errors import DataUnavailableError, InvalidSettingError
        from backtest.live.reconcile_candles import Stored
        from backtest.market_data.load import load_candles
        from backtest.market_data.series import Series
        from backtest.market_data.store import Store
        from backtest.report import text

        exchange, symbol, timeframe = place
        if named:
            known = {(one.symbol, one.timeframe): one for one, _ in named}
            if (symbol, timeframe) not in known:
                names = ", ".join(" ".join(each) for each in known)
                raise InvalidSettingError(f"--candles has none of {symbol} {timeframe}, it has {names}")
            found = Stored(known[symbol, timeframe].between(first, last + 1))
        else:
            shelf = Store(store)
            if not exchange or (store is None and not shelf.holds(Series(exchange, symbol, timeframe))):
                return None
            held = load_candles(
                symbol, timeframe, exchange=exchange, start=first, end=last + 1, store=shelf, incomplete=True
            )
            found = Stored(held, shelf.missing(Series(exchange, symbol, timeframe), first, last + 1))
        if not len(found.candles):
            where = "--candles has" if named else f"the store {store or 'data/candles'} has"
            raise DataUnavailableError(
                f"{where} no {symbol} {timeframe} in the span of the journal, {text.when(first)} to {text.when(last)}: "
                f"backtest fetch {symbol} --exchange {exchange} --timeframe {timeframe} --since {text.day(first)}"
            )
        return found

    return stored_of
