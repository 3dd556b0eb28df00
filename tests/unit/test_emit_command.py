"""The commands emit and venue: one sentence and an exit status for each way in which they can go wrong."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner

from backtest.cli import emit, venue
from backtest.errors import BacktestError
from backtest.live.clock import CandleClock
from backtest.live.emitter import Emitter
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.schema import Decided, Run, Stream
from backtest.live.settings import EmitSettings
from backtest.model.calls import CreateSignal, TakeProfit
from backtest.model.candles import Candles
from backtest.model.events import SignalRef
from backtest.venue.client import Client
from backtest.venue.paper_client import PaperClient
from backtest.venue.rate import RateLimit
from tests.paper_room import KEY, SECRET, credentials, paper_room

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOUR = 3_600_000
STREAM = Stream(credentials().fingerprint, "a" * 64, "BTC/USDT", "1h")
STRATEGY = """
from collections.abc import Iterable
from backtest import Call, Moment, Strategy

class Once(Strategy):
    stop: bool = True
    gain: float = 0.1
    invest: float = 5.0

    def on_candle(self, now: Moment) -> Iterable[Call]:
        if (now.time // 3600000) % 8 == 0:
            stop, target = now.close * 0.9 if self.stop else None, now.close * (1.0 + self.gain)
            fields = {"stop_loss": stop, "invest": self.invest, "allow_no_stop": False, "ttl": "4w"}
            yield now.create(entry=now.close, targets=(target,), **fields)
"""

app = typer.Typer()
venue.register(app)
emit.register(app)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with paper_room(tmp_path_factory.mktemp("venue") / "venue.sqlite") as found:
        yield found


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANNY_API_KEY", KEY)
    monkeypatch.setenv("ANNY_API_SECRET", SECRET)
    monkeypatch.setenv("ANNY_BASE_URL", url)
    for name in ("ANNY_SECRET_FILE", "ANNY_CONFIRM_ACCOUNT", "ANNY_PAPER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "once.py").write_text(STRATEGY)
    (tmp_path / "daily.py").write_text(STRATEGY.replace("3600000) % 8", "86400000) % 500"))
    Candles.sample("BTC/USD", "1h").slice(0, 30).to_pandas().to_csv(tmp_path / "candles.csv")


def run(*argv: str, answer: str | None = None) -> tuple[int, str]:
    """Return exit status and output, as the main command gives them."""
    result = CliRunner().invoke(app, list(argv), input=answer)
    if isinstance(result.exception, BacktestError):
        return result.exception.exit_status, f"{result.output}{result.exception}"
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


CANDLES = ("--candles", "candles.csv", "--symbol", "BTC/USD", "--timeframe", "1h")


def create(ref: SignalRef) -> CreateSignal:
    fields: dict[str, Any] = {"coin": "BTC", "trade_market": "USDT", "exchange": "BINANCE", "invest": 5.0}
    return CreateSignal(**fields, entry_price_max=100.0, targets=(110.0,), stop_loss=90.0, ref=ref)


def journal_with(url: str, *faults: str) -> None:
    """Emit a create and a take profit that meet faults."""
    ref, clock = SignalRef(f"BTC/USDT-{HOUR}-0"), CandleClock(HOUR)
    with (
        PaperClient(url) as control,
        Journal("emit.sqlite", Run("paper", STREAM.account, 0)) as journal,
        Client(credentials(url), rate=RateLimit(100, clock.seconds)) as client,
    ):
        control.plan_faults(*faults)
        emitter = Emitter(journal, client, clock, EmitSettings(), clock.now)
        emitter.plan([Decided(STREAM, HOUR, [create(ref), TakeProfit(ref, "market", 100)])])
        emitter.drain(2 * HOUR)
        control.plan_faults()


def test_status_of_a_quiet_journal(url: str) -> None:
    journal_with(url)
    status, text = run("emit", "status")
    assert status == 0
    assert "2 acked" in text
    assert "signals living: 1" in text
    assert "stop_loss 90" in text


def test_status_shows_an_unknown_and_exits_4(url: str) -> None:
    journal_with(url, "none", "500-after")
    status, text = run("emit", "status")
    assert status == 4
    assert "UNKNOWN" in text
    assert "500 CRITICAL" in text
    assert "backtest emit resolve" in text


def test_resolve_takes_a_decision_once(url: str) -> None:
    journal_with(url, "none", "500-after")
    with Journal("emit.sqlite") as journal:
        (lost,) = journal.intents(State.UNKNOWN)
    assert run("emit", "resolve", lost.id[:12])[0] == 2
    assert run("emit", "resolve", lost.id[:12], "--landed", "another")[0] == 2
    assert run("emit", "resolve", lost.id[:12], "--not-landed", "--abandon")[0] == 2
    status, text = run("emit", "resolve", lost.id[:12], "--not-landed")
    assert (status, "is not_landed; 0 unknown left" in text) == (0, True)
    assert run("emit", "resolve", lost.id[:12], "--abandon")[0] == 2
    assert run("emit", "status")[0] == 0


def test_resolve_names_what_landed(url: str) -> None:
    journal_with(url, "500-after")
    with Journal("emit.sqlite") as journal:
        (lost,) = journal.intents(State.UNKNOWN)
    assert run("emit", "resolve", lost.id, "--landed", "abc123")[0] == 0
    assert "abc123" in run("emit", "status")[1]


def test_cancel_all_asks_first_and_tells_of_each(url: str) -> None:
    journal_with(url)
    status, text = run("emit", "cancel-all", answer="n\n")
    assert status == 2
    assert f"cancel 1 signal of the paper account {STREAM.account}" in text
    assert "nothing was canceled" in text
    status, text = run("emit", "cancel-all", answer="y\n")
    assert status == 0
    assert ": acked" in text
    with PaperClient(url) as control:
        assert control.effects()[-1]["kind"] == "cancel"
    assert run("emit", "cancel-all", "--yes") == (0, "no signal lives\n")


def test_cancel_all_tries_again_what_the_venue_refused(url: str) -> None:
    journal_with(url)
    with PaperClient(url) as control:
        control.plan_faults("redirect")
        assert run("emit", "cancel-all", "--yes")[0] == 3
    status, text = run("emit", "cancel-all", "--yes")
    assert (status, ": acked" in text) == (0, True)


def test_cancel_all_tries_again_what_ended_by_a_cancel_that_nobody_confirmed(url: str) -> None:
    journal_with(url)
    with PaperClient(url) as control:
        control.plan_faults(*["500-before"] * 20)
        assert run("emit", "cancel-all", "--yes")[0] == 4
        control.plan_faults()
    with Journal("emit.sqlite", Run("paper", STREAM.account, 0)) as journal:
        row = journal.signals("living")[0]
        journal.keep([Decided(STREAM, 2 * HOUR, [], ended=(SignalRef(row.ref),))], 2 * HOUR)  # by our own book
        cancel = journal.intents(State.UNKNOWN)[0]
    status, text = run("emit", "cancel-all", "--yes")
    assert (status, ": acked" in text) == (0, True), text
    with Journal("emit.sqlite", Run("paper", STREAM.account, 0)) as journal:
        assert journal.intents_of_signal(row.strategy, row.ref, "cancel")[-1].id != cancel.id
    assert run("emit", "cancel-all", "--yes") == (0, "no signal lives\n")


def test_cancel_all_without_an_answer_names_the_option(url: str) -> None:
    journal_with(url)
    status, text = run("emit", "cancel-all", answer="")
    assert (status, "say --yes" in text) == (2, True)


def test_entries_are_stopped_until_they_are_let_go(url: str, tmp_path: Path) -> None:
    journal_with(url)
    status, text = run("emit", "stop-entries")
    assert (status, "entries are stopped while" in text) == (0, True)
    assert "entries are stopped" in run("emit", "status")[1]
    assert (tmp_path / "emit.sqlite.stop").exists()
    assert "entries go again" in run("emit", "stop-entries", "--off")[1]
    assert not (tmp_path / "emit.sqlite.stop").exists()


def test_stopping_entries_says_when_nobody_runs_and_refuses_what_is_no_journal(url: str, tmp_path: Path) -> None:
    journal_with(url)
    status, text = run("emit", "stop-entries")
    assert (status, "no emission runs on emit.sqlite now" in text) == (0, True)
    status, text = run("emit", "stop-entries", "--journal", "mistyped.sqlite")
    assert (status, "there is no journal mistyped.sqlite" in text) == (2, True)
    assert not (tmp_path / "mistyped.sqlite.stop").exists()
    (tmp_path / "folder").mkdir()
    status, text = run("emit", "stop-entries", "--journal", "folder")
    assert (status, "is a folder" in text) == (2, True)
    assert not (tmp_path / "folder.stop").exists()


def test_a_backup_and_the_journal_hold_the_same(url: str) -> None:
    journal_with(url)
    assert run("emit", "backup", "copy.sqlite")[0] == 0
    assert run("emit", "backup", "copy.sqlite") == (2, "copy.sqlite is there already; name a file that is not")
    status, text = run("emit", "status", "--verify", "--journal", "copy.sqlite")
    assert status == 0
    assert text.startswith("every row is as it was written")
    assert "2 acked" in text


def test_damage_ends_with_3(url: str, tmp_path: Path) -> None:
    journal_with(url)
    db = sqlite3.connect(tmp_path / "emit.sqlite", isolation_level=None)
    db.executescript("DROP TRIGGER attempt_is_final; UPDATE attempt SET at = 1 WHERE id = 2;")
    db.close()
    status, text = run("emit", "status", "--verify")
    assert (status, "row 2 of attempt is not as it was written" in text) == (3, True)
    assert run("emit", "cancel-all", "--yes")[0] == 3


def test_cancel_all_tells_of_what_a_killed_emitter_left_on_its_way(url: str) -> None:
    journal_with(url)
    assert run("emit", "cancel-all", "--yes")[0] == 0
    with Journal("emit.sqlite", Run("paper", STREAM.account, 0)) as journal:
        kept = journal.keep([Decided(STREAM, 3 * HOUR, [create(SignalRef("BTC/USDT-9-0"))])], 3 * HOUR)
        journal.begin(kept, 3 * HOUR)
    status, text = run("emit", "cancel-all", "--yes")
    assert (status, text) == (4, "1 unknown outcomes await a person: backtest emit status\n")
    assert run("emit", "cancel-all", "--yes") == (0, "no signal lives\n")


def test_cancel_all_of_a_paper_journal_never_leaves_this_machine(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_with(url)
    monkeypatch.setenv("ANNY_BASE_URL", "https://api.example.org")
    status, text = run("emit", "cancel-all", "--yes")
    assert (status, "paper journal" in text) == (2, True)


def test_journal_of_another_account_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal_with(url)
    monkeypatch.setenv("ANNY_API_KEY", "another")
    for argv in (("emit", "cancel-all", "--yes"), ("emit", "once.py", *CANDLES)):
        status, text = run(*argv)
        assert (status, "journal of account" in text) == (2, True)


def test_rehearsal_with_a_venue_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ANNY_BASE_URL")
    monkeypatch.delenv("ANNY_API_KEY")
    monkeypatch.delenv("ANNY_API_SECRET")
    status, text = run("emit", "once.py", *CANDLES, "--speed", "1000")
    assert status == 0, text
    assert "PARITY" in text
    assert (tmp_path / "emit.venue.sqlite").exists()


def test_rehearsal_with_a_wrong_secret_exits_2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with paper_room(tmp_path / "fresh.sqlite") as url:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        monkeypatch.setenv("ANNY_API_SECRET", "bad-secret")
        status, text = run("emit", "once.py", *CANDLES)
        assert status == 2
        assert text.strip().count("\n") == 0, "one sentence"
        assert "the venue refused the credentials, nothing was sent since" in text
        assert run("emit", "status")[1].endswith(
            "403 UNAUTHORIZED (anny-api-key or anny-api-secret is wrong or missing); check ANNY_API_KEY and ANNY_API_SECRET\n"
        )
        monkeypatch.setenv("ANNY_API_SECRET", SECRET)
        status, text = run("emit", "once.py", *CANDLES)
        assert status == 3, "what was refused is never sent again, and that is told"
        assert "calls: 1 rejected" in text, "a restart begins with where the journal stands"
        assert "PARITY: the rehearsal equals the backtest that was told of 1 call that did not get there" in text
        assert run("emit", "status")[1].splitlines()[2] == "calls: 3 acked, 1 rejected"


def test_rehearsal_that_meets_a_redirect_names_the_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with paper_room(tmp_path / "fresh.sqlite") as url, PaperClient(url) as control:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        control.plan_faults("redirect")
        status, text = run("emit", "once.py", *CANDLES)
    assert (status, text.strip()) == (
        2,
        "error: the venue answered with a redirect, nothing was sent since; check ANNY_BASE_URL",
    )


def test_dry_run_prints_what_would_be_sent(url: str) -> None:
    with PaperClient(url) as control:
        before = control.received()
        status, text = run("emit", "once.py", *CANDLES, "--dry-run")
        assert control.received() == before
    line = text.splitlines()[0].split(" ", 3)
    assert (status, line[1:3]) == (0, ["POST", "/v2/signal"])
    assert json.loads(line[3])["coin"] == "BTC"


def nothing_was_sent(url: str) -> Callable[[], bool]:
    """Return what tells whether the venue heard of nothing since then, and no journal was made."""
    with PaperClient(url) as control:
        before = control.received()

    def same() -> bool:
        with PaperClient(url) as control:
            return control.received() == before and not Path("emit.sqlite").exists()

    return same


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_a_signal_that_cannot_be_is_listed_and_not_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, more: tuple[str, ...]
) -> None:
    with paper_room(tmp_path / "fresh.sqlite") as url:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        status, text = run("emit", "once.py", *CANDLES, "--param", "gain=-0.2", *more)
        with PaperClient(url) as control:
            assert control.received() == []
    assert status == 0, text
    assert text.startswith("warning: 4 calls are refused at the desk and not sent; the first, about BTC/USD-")


def test_a_signal_that_lint_warns_of_is_named_and_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with paper_room(tmp_path / "fresh.sqlite") as url:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        same = nothing_was_sent(url)
        status, text = run("emit", "once.py", *CANDLES, "--param", "gain=0.0005")
        assert not same()
    assert status == 0, text
    warning, *report = text.splitlines()
    assert warning.startswith("warning: 4 signals, the first BTC/USD-")
    assert "lies inside fees and slippage" in warning
    assert report[0].startswith("PARITY")


def test_all_candles_that_are_named_are_rehearsed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with paper_room(tmp_path / "fresh.sqlite") as url:
        monkeypatch.setenv("ANNY_BASE_URL", url)
        days = [each for name in ("BTC", "LTC") for each in ("--candles", f"sample:{name}/USD:1d")]
        status, text = run("emit", "daily.py", *days)
        with PaperClient(url) as control:
            coins = {json.loads(effect["body"]).get("coin") for effect in control.effects()}
    assert (status, "PARITY" in text) == (0, True), text
    assert coins == {"BTC", "LTC"}
    assert run("emit", "once.py", *CANDLES, "--candles", "sample:LTC/USD:1d")[0] == 2
    assert "each market has one" in run("emit", "once.py", *days, *days)[1]


WRONG = [
    (("emit", "once.py"), "name --market BTC/USDT for candles as they close, or --candles FILE"),
    (("emit", "once.py", "--live", *CANDLES), "as they close"),
    (("emit", "once.py", "--live"), "has no strategy.1.exchange, which is needed"),
    (("emit", "check", "once.py", "--exchange", "binance", "--timeframe", "1h"), "strategy.1.markets, which is needed"),
    (("emit", "check", "--config", "none.toml"), "none.toml cannot be read"),
    (("emit", "once.py", *CANDLES, "--speed", "fast"), "--speed"),
    (("emit", "once.py", *CANDLES, "--config", "config.toml"), "belongs into the environment"),
    (("emit", "nothing.py", *CANDLES), "no strategy file"),
    (("emit", "status", "--journal", "none.sqlite"), "there is no journal"),
    (("emit", "once.py", *CANDLES, "--journal", "config.toml"), "is no journal"),
    (("emit", "resolve", "abc", "--abandon", "--journal", "none.sqlite"), "there is no journal"),
    (("venue", "--host", "0.0.0.0"), "open to others"),
    (("venue", "--fault", "500-befor@0.1"), "500-before"),
    (("venue", "--port", "0", "--profile", "any"), "anny"),
    (("venue", "--speed", "0"), "--speed"),
]


@pytest.mark.parametrize(("argv", "sentence"), WRONG, ids=[" ".join(argv[:4]) for argv, _ in WRONG])
def test_bad_requests_are_one_sentence(tmp_path: Path, argv: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "config.toml").write_text(f'api_secret = "{SECRET}"\n')
    status, text = run(*argv)
    assert status == 2
    assert sentence in text
    assert SECRET not in text
    assert "Traceback" not in text


ELSEWHERE = [
    ({"ANNY_API_KEY": "", "ANNY_API_SECRET": ""}, "ANNY_API_KEY and ANNY_API_SECRET not set"),
    ({"ANNY_API_KEY": "", "ANNY_SECRET_FILE": "open-to-all"}, "chmod 600"),
    ({"ANNY_API_SECRET": f"{SECRET}\n"}, "printable ASCII"),
    ({"ANNY_BASE_URL": "http://api.example.org"}, "plain http goes to this machine only"),
    ({"ANNY_BASE_URL": "https://api.example.org"}, "paper calls go to this machine only"),
    ({"ANNY_BASE_URL": f"https://{KEY}:{SECRET}@api.example.org"}, "no user name or password"),
]

NAMED = ("--market", "BTC/USDT", "--exchange", "binance", "--timeframe", "1h", "--url", "http://127.0.0.1:9")
LIVE = ("emit", "once.py", "--live", *NAMED, "--journal", "live.sqlite")


@pytest.mark.parametrize(("variables", "sentence"), ELSEWHERE, ids=[sentence for _, sentence in ELSEWHERE])
def test_an_environment_that_cannot_be_used_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], sentence: str
) -> None:
    same = nothing_was_sent(url)
    Path("open-to-all").write_text(f"ANNY_API_KEY={KEY}\n")
    Path("open-to-all").chmod(0o644)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for command in (("emit", "once.py", *CANDLES), LIVE):
        status, text = run(*command)
        assert status == 2
        assert sentence in text or ("--live" in command and "this machine" in sentence)
        assert not [secret for secret in (SECRET, KEY) if secret in text]
    assert same()


def test_paper_calls_to_another_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNY_BASE_URL", "https://api.example.org")
    assert run("emit", "once.py", *CANDLES)[0] == 2
    monkeypatch.setenv("ANNY_BASE_URL", "http://api.example.org")
    assert run("emit", "once.py", *CANDLES)[0] == 2


def test_a_venue_that_is_away_exits_3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANNY_BASE_URL", "http://127.0.0.1:9")
    status, text = run("emit", "once.py", *CANDLES)
    assert (status, "backtest venue" in text) == (3, True)


def test_live_says_what_is_missing_and_sends_nothing(url: str, tmp_path: Path) -> None:
    same = nothing_was_sent(url)
    status, text = run(*LIVE)
    assert status == 2
    assert "ok      credentials" in text
    assert "MISSING confirmation" in text
    assert "ok      journal" in text
    assert "MISSING exchange binance" in text
    assert "MISSING candles of Once 1h" in text
    assert text.endswith("error: live emission was not started, nothing was sent\n")
    assert same()
    assert not (tmp_path / "live.sqlite").exists()
