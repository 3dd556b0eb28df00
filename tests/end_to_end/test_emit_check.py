"""``backtest emit check``: every condition of going live, over a real ccxt client and recorded candles."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from backtest.live.clock import WallClock
from backtest.live.journal import Journal
from backtest.live.schema import Run
from backtest.venue.outlet.settings import URL, OutletSecrets
from tests.command_line import START, UNPRIVILEGED, Done, backtest, without_coverage
from tests.loopback_exchange import HOUR, Loopback, last
from tests.paper_room import KEY, SECRET, credentials
from tests.shown import is_as_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRATEGY = """
from backtest import Field, Strategy

class Every(Strategy):
    hours: int = Field(8, ge=1)
    invest: float = 5.0
    stop: bool = True
    gain: float = 1.05
    ahead: bool = False

    def indicators(self, candles):
        return {"later": candles.close[::-1].copy()} if self.ahead else {}

    def on_candle(self, now):
        if now.time // 3600000 % self.hours:
            return
        if self.ahead and now["later"] > now.close:
            return
        stop = now.close * 0.9 if self.stop else None
        yield now.create(entry=now.close, targets=[now.close * self.gain], stop_loss=stop, invest=self.invest, ttl="2h")
"""
OUTLET = "https://venue.example/hook/0f4c1f8a-secret-part"
NAMED = ("--market", "BTC/USDT", "--market", "ETH/USDT", "--exchange", "binance", "--timeframe", "1h")


@pytest.fixture(scope="module")
def exchange() -> Iterator[Loopback]:
    with Loopback(last(24 * HOUR) - 30 * 24 * HOUR) as found:
        yield found


@pytest.fixture(scope="module")
def store(exchange: Loopback, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("candles") / "store"
    markets = ("BTC/USDT", "ETH/USDT")
    done = backtest(
        "fetch",
        *markets,
        "--exchange",
        "binance",
        "--since",
        "2020-01-01",
        "--store",
        place,
        "--url",
        exchange.url("binance"),
    )
    assert done.status == 0, done.err
    return place


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "every.py").write_text(STRATEGY)
    monkeypatch.setenv("ANNY_API_KEY", KEY)
    monkeypatch.setenv("ANNY_API_SECRET", SECRET)
    monkeypatch.setenv("ANNY_CONFIRM_ACCOUNT", credentials().fingerprint)
    for name in ("ANNY_SECRET_FILE", "ANNY_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def check(exchange: Loopback, store: Path, *more: str, named: tuple[str, ...] = NAMED) -> Done:
    done = backtest("emit", "check", "every.py", *named, "--store", store, "--url", exchange.url("binance"), *more)
    assert SECRET not in done.out + done.err
    assert "Traceback" not in done.err
    return done


def lines(done: Done) -> dict[str, str]:
    """Return what stands after each condition's name, with its mark."""
    found = {}
    for line in done.out.splitlines():
        name, _, text = line[8:].partition(": ")
        found[name] = f"{line[:7].strip()} {text}"
    return found


def test_all_conditions_on_the_named_markets(exchange: Loopback, store: Path, folder: Path) -> None:
    done = check(exchange, store)
    found = lines(done)
    assert done.status == 0, done.out
    assert list(found) == [
        "credentials",
        "confirmation",
        "journal",
        "clock of binance",
        "market binance BTC/USDT 1h",
        "market binance ETH/USDT 1h",
        "strategy 1",
        "candles of Every 1h",
        "backtest of Every 1h",
        "stops of Every 1h",
        "lint of Every 1h",
        "checks of Every 1h",
        "limiter",
    ]
    assert {text.split()[0] for text in found.values()} == {"ok"}
    assert "api.anny.trade" in found["credentials"]
    assert "tick 0.01" in found["market binance BTC/USDT 1h"]
    assert "of BTC/USDT, ETH/USDT" in found["candles of Every 1h"]
    assert "busiest minute" in found["limiter"]
    assert "with 2 calls; at 8 calls a minute 0 of " in found["limiter"]
    head, counted = done.out.split("ok      candles of", 1)
    text = (
        re.sub(r"[0-9.]+ s off", "# s off", head)
        + "ok      candles of"
        + re.sub(r"(?<=\s)[0-9][0-9,:-]*", "#", counted)
    )
    is_as_kept("emit_check.txt", text)  # how many candles there are depends on the hour of the day
    left = {path.name for path in folder.iterdir()} - {"__pycache__"}  # of loading the strategy
    assert left == {"every.py"}, "a check leaves no trace"


def test_the_same_from_a_file_with_the_calls_of_all_strategies(exchange: Loopback, store: Path, folder: Path) -> None:
    both = "".join(
        f'[[strategy]]\nfile = "every.py"\nexchange = "binance"\nmarkets = ["BTC/USDT", "ETH/USDT"]\ntimeframe = "1h"\n'
        f"parameters = {{ hours = 6, invest = {number} }}\n"
        for number in range(1, 3)
    )
    (folder / "live.toml").write_text(f"[limits]\nper_minute = 1\n{both}")
    done = backtest("emit", "check", "--config", "live.toml", "--store", store, "--url", exchange.url("binance"))
    assert done.status == 0, done.out
    assert "with 4 calls; at 1 calls a minute 0 of " in lines(done)["limiter"]
    done = backtest("emit", "check", "every.py", *NAMED, "--config", "live.toml", "--store", store, "--per-minute", "0")
    assert (done.status, "the command line has limits.per_minute = 0" in done.err) == (2, True)


MISSING = [
    (("--param", "stop=false"), "stops of Every 1h", "signals have no stop_loss, the first is BTC/USDT-"),
    (("--param", "gain=0.95"), "lint of Every 1h", "refused and not sent, the first about BTC/USDT-"),
    (("--param", "ahead=true"), "checks of Every 1h", "look-ahead"),
    (("--account", "0123"), "confirmation", "account 0123 was named, this is "),
    (("--param", "hour=3"), "strategy 1", "hours"),
]


@pytest.mark.parametrize(("more", "name", "sentence"), MISSING, ids=[row[1] for row in MISSING])
def test_what_is_missing_is_said(
    exchange: Loopback, store: Path, more: tuple[str, ...], name: str, sentence: str
) -> None:
    done = check(exchange, store, *more)
    found = lines(done)
    assert done.status == 2
    assert found[name].startswith("MISSING ")
    assert sentence in found[name]
    assert sum(text.startswith("MISSING") for text in found.values()) == 1


UNKNOWN = [
    (("--market", "BTC/USTD"), "market binance BTC/USTD 1h", 'Did you mean "BTC/USDT"?'),
    (("--market", "BTC/USDT", "--timeframe", "60m"), "market binance BTC/USDT 60m", 'Did you mean "1h"?'),
    (("--market", "BTC/USDT", "--exchange", "binanse"), "exchange binanse", 'Did you mean "binance"?'),
]


@pytest.mark.parametrize(("changed", "name", "sentence"), UNKNOWN, ids=[row[1] for row in UNKNOWN])
def test_unknown_names_are_told_with_the_nearest(
    exchange: Loopback, store: Path, changed: tuple[str, ...], name: str, sentence: str
) -> None:
    done = check(exchange, store, named=("--exchange", "binance", "--timeframe", "1h", *changed))
    found = lines(done)
    assert done.status == 2
    assert sentence in found[name]
    assert "limiter" not in found


def test_a_few_signals_that_are_refused_hold_up_nothing(exchange: Loopback, store: Path, folder: Path) -> None:
    text = STRATEGY.replace("now.close * self.gain", "now.close * (0.9 if now.time // 3600000 % 48 == 0 else 1.05)")
    (folder / "every.py").write_text(text)
    done = check(exchange, store, "--param", "invest=30")
    lint = lines(done)["lint of Every 1h"]
    assert done.status == 0
    assert "refused and not sent, the first about BTC/USDT-" in lint
    assert int(lint.split()[1]) < 40
    assert lines(check(exchange, store, "--param", "invest=150"))["lint of Every 1h"].endswith(
        "invest comes to 150 % of the portfolio (capital_over_100)"
    )


def test_the_journal_of_somebody_else_is_told_and_kept(exchange: Loopback, store: Path, folder: Path) -> None:
    for mode, account, sentence in (
        ("live", "0" * 16, "is the journal of the live account 0000000000000000, not of the live account"),
        ("paper", credentials().fingerprint, "is the journal of the paper account "),
    ):
        file = folder / f"{mode}.sqlite"
        Journal(file, Run(mode, account, WallClock().now())).close()
        before = file.read_bytes()
        done = check(exchange, store, "--journal", str(file))
        assert (done.status, sentence in lines(done)["journal"]) == (2, True)
        assert file.read_bytes() == before
    (folder / "text.sqlite").write_text("no database, but long enough to be read as one" * 100)
    assert lines(check(exchange, store, "--journal", "text.sqlite"))["journal"].startswith("MISSING ")


def test_no_network_is_the_worlds_fault_and_the_rest_is_looked_at(store: Path) -> None:
    done = backtest("emit", "check", "every.py", *NAMED, "--store", store, "--url", "http://127.0.0.1:9")
    found = lines(done)
    assert done.status == 3
    assert found["exchange binance"].startswith("MISSING binance gave no usable answer")
    assert found["limiter"].startswith("ok")


@pytest.mark.parametrize("skew", [5_000, -5_000])
def test_a_clock_that_is_off_is_told(store: Path, skew: int) -> None:
    with Loopback(last(24 * HOUR) - 2 * 24 * HOUR, skew=skew) as other:
        done = check(other, store)
    assert done.status == 3
    assert f"{'behind' if skew > 0 else 'ahead of'} that of binance" in lines(done)["clock of binance"]


def test_no_candles_of_a_market_say_how_to_get_them(exchange: Loopback, folder: Path) -> None:
    done = check(exchange, folder / "empty")
    assert done.status in {2, 3}
    assert "backtest fetch BTC/USDT --exchange binance --timeframe 1h" in lines(done)["candles of Every 1h"]


def test_one_strategy_given_twice_is_refused(exchange: Loopback, store: Path, folder: Path) -> None:
    one = '[[strategy]]\nfile = "every.py"\nexchange = "binance"\nmarkets = ["BTC/USDT"]\ntimeframe = "1h"\n'
    (folder / "live.toml").write_text(one + one)
    done = backtest("emit", "check", "--config", "live.toml", "--store", store, "--url", exchange.url("binance"))
    assert done.status == 2
    assert "strategy 2 is strategy 1 once more on binance BTC/USDT 1h" in lines(done)["strategy 2"]
    (folder / "live.toml").write_text("")
    done = backtest("emit", "check", "--config", "live.toml")
    assert (done.status, "no strategy was named" in lines(done)["strategies"]) == (2, True)


def test_help_shows_what_an_emission_takes() -> None:
    done = backtest("emit", "--help")
    assert done.status == 0
    for option in ("--paper", "--live", "--journal", "--config", "--market"):
        assert re.search(rf"^  (-\w, )?{option}\b", done.out, re.MULTILINE), option
    assert re.search(r"^  check +Look at every condition", done.out, re.MULTILINE)


def test_every_condition_of_another_venue(
    exchange: Loopback, store: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANNY_API_KEY", "ANNY_API_SECRET"):
        monkeypatch.delenv(name)
    (folder / "venue.toml").write_text(
        'name = "my cornix"\nkind = "cornix"\nper_minute = 3\nvalues = { chat_id = "-1001" }\n'
    )
    found = lines(check(exchange, store, "--venue", "venue.toml"))
    assert URL in found["credentials"]
    assert found["venue"].startswith("MISSING")
    assert OUTLET not in str(found)
    monkeypatch.setenv(URL, OUTLET)
    account = OutletSecrets.load().fingerprint
    done = check(exchange, store, "--venue", "venue.toml", "--account", account)
    assert done.status == 0, done.out
    assert "0f4c1f8a" not in done.out + done.err, "the address is secret"
    found = lines(done)
    assert found["credentials"] == f"ok account {account} at venue.example"
    assert found["venue"] == "ok my cornix of venue.toml, 3 calls a minute, each at most 300 s after its close"
    assert "calls" in found["my cornix of Every 1h"]
    assert "at 3 calls a minute" in found["limiter"]
    (folder / "venue.toml").write_text('name = "my cornix"\nkind = "cornx"\n')
    done = check(exchange, store, "--venue", "venue.toml", "--account", account)
    assert done.status == 2
    assert "MISSING" in lines(done)["venue"]
    assert "cornx" in lines(done)["venue"]


@pytest.mark.skipif(
    bool(UNPRIVILEGED) and shutil.which("setpriv") is None, reason="root reads and writes everywhere without setpriv"
)
@pytest.mark.parametrize("hidden", ["", "2026.parquet"])
def test_a_store_that_nobody_may_write_is_read(hidden: str, exchange: Loopback, store: Path, folder: Path) -> None:
    want, place = check(exchange, store).out, folder / "store"
    shutil.copytree(store, place)
    kept = [place, *place.rglob("*")]
    for path in kept:
        path.chmod(0 if hidden and path.match(f"BTC_USDT/1h/{hidden}") else 0o555 if path.is_dir() else 0o444)
    arguments = ["emit", "check", "every.py", *NAMED, "--store", str(place), "--url", exchange.url("binance")]
    try:
        done = subprocess.run(
            [*UNPRIVILEGED, sys.executable, "-c", START, *arguments],
            env=without_coverage(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        for path in kept:
            path.chmod(0o755)
    assert done.stderr == ""
    if not hidden:
        assert (done.returncode, done.stdout) == (0, want)
        return
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("MISSING")]
    assert line.endswith(f"BTC_USDT/1h/{hidden}: permission denied; let this user read it")
    assert done.returncode == 3
