"""``backtest new``: a strategy file to begin with, that runs as it is."""

from __future__ import annotations

import keyword
from pathlib import Path
from typing import Annotated

import typer

from backtest.errors import InvalidSettingError, StorageError

__all__ = ["register"]

_TEMPLATE = '''\
"""CLASS: what it is about, in one sentence."""

from backtest import Field, Strategy
from backtest import indicators as ta


class CLASS(Strategy):
    """Buy while the trend is up and the price has fallen back to its average; out at twice the risk."""

    # Parameters are fields with a type, a default and bounds. `--param slow=100` sets one, a sweep tries many.
    slow: int = Field(100, ge=2, description="candles of the average that shows the trend")
    fast: int = Field(20, ge=2, description="candles of the average that the price falls back to")
    risk: float = Field(2.0, gt=0, description="distance of the stop, in ATR(14)")
    invest: float = Field(10.0, gt=0, le=100, description="percent of each subscriber's portfolio")

    def indicators(self, candles):
        """Compute columns once, over all candles: a value may use its own row and earlier ones, never later ones."""
        return {
            "slow": ta.sma(candles.close, self.slow),
            "fast": ta.sma(candles.close, self.fast),
            "atr": ta.atr(candles, 14),
        }

    def triggers(self, candles, ind):
        """Name the closes at which on_candle is asked. Leave it out to be asked at every close."""
        return (ind["fast"] > ind["slow"]) & (candles.low <= ind["fast"]) & (candles.close > ind["fast"])

    def on_candle(self, now):
        """Decide at one close. What is returned acts from the next candle on."""
        if now.signals:  # this strategy has one signal at a time; now.signals are those that live
            return
        stop = now.close - self.risk * now["atr"]
        if stop <= 0:
            return
        yield now.create(
            entry=(now.close * 0.999, now.close),  # a range; {price: percent, ...} splits it over limits
            targets=[now.close + (now.close - stop), now.close + 2 * (now.close - stop)],
            stop_loss=stop,
            invest=self.invest,
            ttl="1d",  # without one, an entry that is never reached blocks the strategy for good
        )

    # To answer what happens to a signal, uncomment this: at the first target the stop goes to the entry.
    #
    # def on_event(self, now, event):
    #     from backtest import EventKind, UpdatePrices
    #
    #     if event.kind is EventKind.TARGET_HIT and event.target == 1:
    #         yield UpdatePrices(event.signal, stop_loss=event.average_entry)
'''


def register(app: typer.Typer) -> None:
    """Add the command to an application."""
    app.command("new")(new)


def new(
    file: Annotated[Path, typer.Argument(help="The file to write, my_strategy.py.")],
    name: Annotated[str | None, typer.Option("--class", help="Name of the class; without it that of the file.")] = None,
) -> None:
    """Write a commented strategy that runs as it is.

    backtest new my_strategy.py
    """
    if file.suffix != ".py":
        raise InvalidSettingError(f"a strategy is a Python file such as my_strategy.py, was {str(file)!r}")
    called = name or "".join(part[:1].upper() + part[1:] for part in file.stem.replace("-", "_").split("_"))
    if not called.isidentifier() or keyword.iskeyword(called):
        raise InvalidSettingError(
            f"{called!r} can be no name of a Python class: name the file otherwise, or give --class"
        )
    if called in {"Field", "Strategy"}:
        raise InvalidSettingError(f"{called} is a name of backtest itself: name the file otherwise, or give --class")
    try:
        with file.open("x", encoding="utf-8") as made:
            made.write(_TEMPLATE.replace("CLASS", called))
    except FileExistsError:
        raise InvalidSettingError(f"{file} is there already and is not written over: choose another name") from None
    except OSError as error:
        raise StorageError(f"{file} could not be written: {error.strerror or error}") from None
    typer.echo(f"{file}  the strategy {called}; edit it, and run it over real candles with")
    typer.echo(f"backtest run {file} --candles sample:BTC/USD:1h --out out/{file.stem}")
