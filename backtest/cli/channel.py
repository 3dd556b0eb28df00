"""``backtest channel``: what a channel really posted, read into a call log for ``backtest replay``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backtest.cli import options
from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from backtest.model.candles import Candles

__all__ = ["register"]

_FIRST = 5


def register(app: typer.Typer) -> None:
    """Add the commands to an application."""
    group = typer.Typer(
        help="What a channel really posted, as a call log.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("import")(import_)
    group.command("rules")(rules)
    app.add_typer(group, name="channel")


def rules() -> None:
    """Print a channel.toml to begin with: every rule, and what it is about."""
    from backtest.channel.conventions import TEMPLATE

    typer.echo(TEMPLATE, nl=False)


def import_(
    export: Annotated[
        Path,
        typer.Argument(
            help="result.json of Telegram Desktop, a JSON of DiscordChatExporter, or a CSV of time and text."
        ),
    ],
    rules: Annotated[Path, typer.Option("--rules", help="channel.toml; `backtest channel rules` prints one.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for calls.csv, review.csv and channel.json.")],
    candles: Annotated[
        list[str] | None,
        typer.Option("--candles", "-c", help="Candles to hold prices against, one a pair; else those of the store."),
    ] = None,
    market: Annotated[
        list[str] | None,
        typer.Option("--market", help="Candles of 1m, by which entries at market are priced; else those of the store."),
    ] = None,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    store: options.StoreOption = None,
) -> None:
    """Read a channel's export: what it sent becomes calls.csv, what a person must look at review.csv.

    backtest channel import result.json --rules channel.toml --out out/channel

    Write drop, keep, or as and another text into the column decision, and run it again.
    """
    from backtest.channel.conventions import read_rules
    from backtest.channel.importing import import_channel
    from backtest.channel.prices import Prices

    asked: dict[str, Any] = {"symbol": symbol, "timeframe": timeframe, "store": store, "incomplete": True}
    given, minutes = (_by_pair(sources or [], asked) for sources in (candles, market))
    prices, exchange = Prices({**minutes, **given}, minutes), (read_rules(rules).exchange or "").lower()
    if not given:
        prices = replace(prices, candles=prices.candles or _Held(exchange, store))
    if not minutes:
        prices = replace(prices, minutes=_Held(exchange, store, only="1m"))
    _show(import_channel(export, rules, out, prices=prices))


def _by_pair(sources: list[str], asked: dict[str, Any]) -> dict[str, Candles]:
    """Return the candles that options name, by the pair that signals of theirs name."""
    found = {}
    for source in sources:
        one = options.candles_from(source, **asked)
        market = options.market_from(one, source=source, store=asked["store"])
        found[f"{market.coin}/{market.trade_market}"] = one
    return found


class _Held(Mapping[str, "Candles"]):
    """The finest candles that the store has of each pair of an exchange, read when they are asked for."""

    def __init__(self, exchange: str, place: str | None, *, only: str = "") -> None:
        from backtest.market_data.store import Store
        from backtest.model.timeframe import milliseconds

        self._store, self._series = Store(place), dict[str, Any]()
        for series in self._store.series():
            pair = series.symbol.partition(":")[0]
            if series.exchange != exchange or series.kind or (only and series.timeframe != only):
                continue
            best = self._series.setdefault(pair, series)
            if milliseconds(series.timeframe) < milliseconds(best.timeframe):
                self._series[pair] = series
        self._read: dict[str, Candles] = {}

    def __getitem__(self, pair: str) -> Candles:
        if pair not in self._read:
            self._read[pair] = self._store.candles(self._series[pair])
        return self._read[pair]

    def __iter__(self) -> Iterator[str]:
        return iter(self._series)

    def __len__(self) -> int:
        return len(self._series)


def _show(found: Any) -> None:
    """Print what was read, and the first reasons of what was not."""
    counts = found.posted.counts
    typer.echo(", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count) or "no message")
    for sentence in found.posted.sentences:
        typer.echo(f"- {sentence}")
    unread = [one for one in found.read if one.kind == "unreadable"]
    for one in unread[:_FIRST]:
        typer.echo(f"message {one.message.id} is unreadable, because {one.reason}")
    if len(unread) > _FIRST:
        typer.echo(f"and {len(unread) - _FIRST:,} more in {found.review}")
    typer.echo(f"\ncalls   {found.calls}\nreview  {found.review}")
    if not counts["create"]:
        raise InvalidSettingError(f"no signal was read from it; {found.review} says why, message by message")
