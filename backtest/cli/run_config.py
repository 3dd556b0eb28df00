"""Run config: the options of ``backtest run`` from a TOML file; what is said on the command line goes before.

strategy = "breakout.py"             # paths begin at the folder of this file
candles = ["sample:BTC/USD:1h"]
since = "2018-01-01"
out = "out/breakout"

[parameters]
lookback = 72

[profile]                            # or profile = "exchange"
balance = 5_000
taker_fee = 0.0005
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

    import typer

__all__ = ["config_of", "read_config"]

_TABLES = ("parameters", "profile")
_NUMBERS = frozenset({"balance"})
"""Options whose value is a number; flags are true or false, repeated options lists, all others texts."""

_KINDS: dict[str, tuple[type, ...]] = {"bool": (bool,), "list": (list,), "number": (int, float), "text": (str,)}


def read_config(context: typer.Context, file: Path | None) -> None:
    """Make the values of a file the defaults of the options of a command.

    Parameters
    ----------
    context
        Of the command; its ``default_map`` is set, and ``meta`` gets the tables ``parameters`` and ``profile``.
    file
        TOML; None leaves everything as it is.

    Raises
    ------
    InvalidSettingError
        For a file that cannot be read, a key that is no option (with "did you mean") or a value of the wrong kind.
    """
    if file is None:
        return
    try:
        values = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidSettingError(f"config {file} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettingError(f"config {file} is no TOML: {error}") from None
    known = {_spelt(one): one for one in context.command.params if one.name not in {"config", "param"}}
    tables = {name: values.pop(name) for name in _TABLES if isinstance(values.get(name), dict)}
    if "parameters" in values:
        raise InvalidSettingError(f"config {file}: parameters is a table, [parameters], was {values['parameters']!r}")
    for name, value in values.items():
        if name not in known:
            names = (*known, "parameters")
            raise InvalidSettingError(
                f"config {file} has no key {name!r}; it knows {', '.join(sorted(names))}.{did_you_mean(name, names)}"
            )
        _check(file, name, value, known[name])
    values = {name: _anchored(name, value, file.parent) for name, value in values.items()}
    context.default_map = {str(known[name].name): value for name, value in values.items()}
    context.meta["backtest.config"] = tables


def config_of(context: typer.Context) -> dict[str, dict[str, Any]]:
    """Return the tables ``parameters`` and ``profile`` of the file, each empty where there is none."""
    tables = context.meta.get("backtest.config") or {}
    return {name: dict(tables.get(name) or {}) for name in _TABLES}


def _spelt(option: Any) -> str:
    """Return how a file spells an option: as the command line does, without dashes in front."""
    longest = max(option.opts, key=len).lstrip("-")
    return str(longest).replace("-", "_")


def _anchored(name: str, value: Any, folder: Path) -> Any:
    """Let relative paths begin at the folder of the file that names them."""
    if isinstance(value, list):
        return [_anchored(name, one, folder) for one in value] if name in {"candles", "detail"} else value
    is_path = (
        name in {"strategy", "out"}
        or (name == "profile" and value.endswith(".json"))
        or (name in {"candles", "detail"} and not value.startswith(("sample:", "store:")) and value != "none")
    )
    return str(folder / value) if is_path else value


def _check(file: Path, name: str, value: object, option: Any) -> None:
    kind = "text"
    if getattr(option, "is_flag", False):
        kind = "bool"
    elif getattr(option, "multiple", False):
        kind = "list"
    elif name in _NUMBERS:
        kind = "number"
    wanted = {"bool": "true or false", "list": 'a list of texts, ["..."]', "number": "a number", "text": "a text"}[kind]
    good = isinstance(value, _KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
    if isinstance(value, list):
        good = good and all(isinstance(one, str) for one in value)
    if not good:
        raise InvalidSettingError(f"config {file}: {name} is {wanted}, was {value!r}")
