"""What gets loaded when: the package stays light until something heavy is used."""

from __future__ import annotations

import itertools

import pytest

from tests.command_line import HEAVY, ROOT, loaded_by

EXCHANGES_AND_NETWORK = ("ccxt", "httpx", "aiohttp", "fastapi")


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import backtest", (*HEAVY, "numpy", "pydantic", "typer", "rich")) == set()


def test_every_light_module_stays_light() -> None:
    light = (
        "errors",
        "model.calls",
        "model.candles",
        "model.market",
        "model.profile",
        "model.signal",
        "strategy",
        "wire",
    )
    code = "\n".join(f"import backtest.{name}" for name in light)
    assert loaded_by(code, HEAVY) == set()


def test_the_help_loads_no_more_than_typer_and_rich() -> None:
    code = (
        "import sys\nfrom backtest.cli import main\nsys.argv = ['backtest', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert loaded_by(code, (*HEAVY, "numpy", "pydantic", "fastapi")) == set()


@pytest.mark.parametrize(
    "verb", ["demo", "run", "sweep", "luck", "calls", "emit", "venue", "replay", "explain", "fetch", "data"]
)
def test_the_help_of_a_command_is_light_too(verb: str) -> None:
    code = (
        f"import sys\nfrom backtest.cli import main\nsys.argv = ['backtest', {verb!r}, '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    assert loaded_by(code, (*HEAVY, "numpy")) == set()


@pytest.mark.parametrize("names", list(itertools.permutations(["Result", "run", "indicators"])), ids=", ".join)
def test_names_may_be_imported_in_any_order(names: tuple[str, ...]) -> None:
    code = f"from backtest import {', '.join(names)}\nimport backtest\nassert callable(run), run\nassert backtest.run is run"
    assert loaded_by(code, ()) == set()


def test_the_function_run_outlives_the_import_of_every_room() -> None:
    rooms = ("cli.run", "runner.run", "runner.execute", "report.page", "live.emission", "study")
    found = "\n".join(f"find_spec('backtest.{room}') and import_module('backtest.{room}')" for room in rooms)
    code = f"from importlib import import_module\nfrom importlib.util import find_spec\n{found}\nimport backtest\n"
    assert loaded_by(f"{code}assert type(backtest.run).__name__ == 'function', backtest.run", ()) == set()


def test_running_a_backtest_loads_neither_ccxt_nor_the_network() -> None:
    code = (
        "from backtest import Candles, run\nfrom strategies.breakout import Breakout\n"
        "result = run(Breakout(), Candles.sample('BTC/USD', '1d'))\n"
        "assert len(result.trades) and result.stats and result._repr_html_()"
    )
    assert loaded_by(code, EXCHANGES_AND_NETWORK, cwd=ROOT) == set()


def test_the_light_names_do_not_wait_for_the_kernel() -> None:
    code = "from backtest import Candles, CreateSignal, Field, Market, Moment, SignalTable, Strategy, SubscriberProfile"
    assert loaded_by(code, HEAVY) == set()
