"""Loading: a strategy class from a file that the user names."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

from backtest.errors import BacktestError, InvalidSettingError, did_you_mean
from backtest.strategy import Strategy

__all__ = ["load_strategy"]


def load_strategy(source: str | os.PathLike[str]) -> type[Strategy]:
    """Return the strategy class of ``FILE.py`` or ``FILE.py:Class``.

    The file is executed, as any script is: name only files that you trust.

    Raises
    ------
    InvalidSettingError
        Where there is no such file or class, where the file holds several classes and none is named, or where running
        it fails.
    """
    source = os.fspath(source)
    text, colon, name = source.rpartition(":")
    if not colon or not text.endswith(".py"):
        text, name = source, ""
    path = Path(text)
    if path.suffix != ".py":
        raise InvalidSettingError(f"a strategy is a Python file such as strategies/breakout.py, was {source!r}")
    if not path.is_file():
        near = [str(other) for other in sorted(path.parent.glob("*.py"))] if path.parent.is_dir() else []
        raise InvalidSettingError(f"there is no strategy file {path}.{did_you_mean(str(path), near)}")
    found = _classes(path)
    if not found:
        raise InvalidSettingError(f"{path} defines no subclass of backtest.Strategy")
    if not name and len(found) > 1:
        raise InvalidSettingError(f"{path} defines {', '.join(found)}: say which, as {path}:{next(iter(found))}")
    if name and name not in found:
        raise InvalidSettingError(
            f"{path} has no strategy {name!r}; it defines {', '.join(found)}.{did_you_mean(name, found)}"
        )
    return found[name or next(iter(found))]


def _classes(path: Path) -> dict[str, type[Strategy]]:
    """Execute a file and return the strategies that it defines itself."""
    name = f"strategy_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidSettingError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    with contextlib.suppress(OSError, ValueError):  # running it says what is wrong
        module.__dict__["__strategy_text__"] = path.read_text("utf-8")  # what a sweep sends to other processes
    sys.modules[name] = module  # pydantic resolves annotations through it
    try:
        spec.loader.exec_module(module)
    except BacktestError:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's file raises, its author wants to read it
        raise InvalidSettingError(f"{path} fails when it is loaded: {type(error).__name__}: {error}") from None
    return {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == name
    }
