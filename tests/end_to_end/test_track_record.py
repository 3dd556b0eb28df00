"""Track record: added to, never changed; what is altered against an earlier copy or head is refused with the line."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from backtest import SubscriberProfile
from backtest.errors import InvalidSettingError
from backtest.live.intent import State
from backtest.live.journal import Journal
from backtest.live.person import resolve
from backtest.live.track_record import record_head
from backtest.live.track_verify import verify_record
from tests.command_line import ROOT, backtest
from tests.end_to_end.test_reconcile import BTC, HISTORY, MARKETS, PARAMETERS, candles, room
from tests.end_to_end.test_reconcile import store as store  # noqa: PLC0414 - a fixture
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.shown import is_as_kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.journal_room import JournalRoom

Line = dict[str, Any]


def publish(emission: JournalRoom, file: Path, status: int = 0) -> str:
    """Publish, and return the head."""
    done = backtest("reconcile", emission.path, "--tick", "0.01", "--publish", file, *PARAMETERS)
    assert done.status == status, done.err
    found = re.search(r"head +([0-9a-f]{64})", done.out)
    assert found is not None
    return found[1]


def lines_of(file: Path) -> list[Line]:
    return [json.loads(line) for line in file.read_text("ascii").splitlines()]


def rewritten(lines: list[Line]) -> bytes:
    """Return lines as a record whose chain is whole again: what somebody would do who alters it with care."""
    previous, out = "0" * 64, b""
    for line in lines:
        raw = json.dumps({**line, "previous": previous}, sort_keys=True, separators=(",", ":")).encode()
        previous, out = hashlib.sha256(raw).hexdigest(), out + raw + b"\n"
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, str]:
    """Return a record, as it was some days before, and the head of that."""
    folder = tmp_path_factory.mktemp("record")
    file = folder / "record.jsonl"
    emission = room(folder, BTC)
    emission.emit(until=HISTORY + 300)
    head = publish(emission, file)
    earlier = file.read_bytes()
    for beside in folder.glob("journal.sqlite*"):
        beside.unlink()
    room(folder, BTC).emit()  # the same journal some days later: it begins as the other one did
    assert publish(emission, file) != head
    return file.read_bytes(), earlier, head


@pytest.fixture
def published(tmp_path: Path, made: tuple[bytes, bytes, str]) -> tuple[Path, Path, str]:
    """Return a record, its copy of some days before, and the head of that."""
    file, earlier = tmp_path / "record.jsonl", tmp_path / "earlier.jsonl"
    now, before, head = made
    assert now.startswith(before)
    file.write_bytes(now)
    earlier.write_bytes(before)
    return file, earlier, head


def test_a_record_grows_and_its_earlier_copy_is_its_beginning(published: tuple[Path, Path, str], store: Path) -> None:
    file, earlier, head = published
    for since in (earlier, head, head[:16]):
        done = backtest("verify", file, "--since", since, "--store", store)
        assert done.status == 0, done.err
        assert f"the first {len(lines_of(earlier))} as they were" in done.out
        assert re.search(r"\d+ fills within the candles\n", done.out)
        assert f"head  {record_head(file)}" in done.out


def test_a_record_is_line_by_line_as_it_was_read(published: tuple[Path, Path, str], store: Path) -> None:
    file, earlier, _ = published
    lines = [{name: value for name, value in line.items() if name != "previous"} for line in lines_of(file)]
    is_as_kept("track_record.txt", "".join(f"{json.dumps(_rounded(line), sort_keys=True)}\n" for line in lines))
    done = backtest("verify", file, "--since", earlier, "--store", store)
    is_as_kept("track_verified.txt", re.sub(r"/\S*/", "", done.out.partition("\nhead")[0]) + "\n")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


def test_nothing_new_changes_nothing(tmp_path: Path) -> None:
    emission, file = room(tmp_path, BTC), tmp_path / "record.jsonl"
    emission.emit()
    head = publish(emission, file)
    before = file.read_bytes()
    assert publish(emission, file) == head
    assert file.read_bytes() == before


def _alter(lines: list[Line], kind: str, change: Callable[[Line], object]) -> int:
    """Change the second line of a kind; return its number."""
    number = [k for k, line in enumerate(lines) if line["kind"] == kind][1]
    change(lines[number])
    return number + 1


def price(lines: list[Line]) -> int:
    return _alter(lines, "sent", lambda line: line["body"].update(stop_loss="1.23"))


def moment(lines: list[Line]) -> int:
    return _alter(lines, "sent", lambda line: line.update(sent=line["sent"] - 60_000))


def outcome(lines: list[Line]) -> int:
    return _alter(lines, "result", lambda line: line.update(pnl=line["pnl"] + 5.0))


def removed(lines: list[Line]) -> int:
    del lines[5]
    return 6


def reordered(lines: list[Line]) -> int:
    lines[4], lines[5] = lines[5], lines[4]
    return 5


ALTERED = [price, moment, outcome, removed, reordered]
SAID = {
    price: "stop_loss was 6200.16, now it is 1.23",
    moment: "sent was 1510574400700, now it is 1510574340700",
    removed: "body was {'parent_signal_id': 'BTC/USDT-1510574400000-0', 'stop_loss', now it is None",
    reordered: "attachment_description was ref:f904856539bc, now it is None",
}


@pytest.mark.parametrize("alter", ALTERED)
def test_a_line_altered_in_place_breaks_the_chain(published: tuple[Path, Path, str], alter: Any) -> None:
    file, _, _ = published
    lines = lines_of(file)
    number = alter(lines)
    text = [json.dumps(line, sort_keys=True, separators=(",", ":")) for line in lines]
    file.write_text("\n".join(text) + "\n", "ascii")
    done = backtest("verify", file)
    assert (done.status, done.err.count("\n")) == (2, 1)
    named = {int(found) for found in re.findall(r"line (\d+)", done.err)}
    assert number in named


@pytest.mark.parametrize("alter", ALTERED)
def test_a_record_that_was_rebuilt_is_refused_with_the_line(published: tuple[Path, Path, str], alter: Any) -> None:
    file, earlier, head = published
    lines = lines_of(file)
    number = alter(lines)
    file.write_bytes(rewritten(lines))
    against_copy = backtest("verify", file, "--since", earlier)
    assert (against_copy.status, against_copy.err.count("\n")) == (2, 1)
    if alter is not outcome:  # then already the figures contradict it
        assert f"line {number} of {file} is not as it was in {earlier}: {SAID[alter]}" in against_copy.err
    against_head = backtest("verify", file, "--since", head)
    assert (against_head.status, against_head.err.count("\n")) == (2, 1)


def test_a_record_that_lost_its_end_is_refused(published: tuple[Path, Path, str]) -> None:
    file, earlier, _ = published
    shorter = b"".join(earlier.read_bytes().splitlines(keepends=True)[:-3])
    file.write_bytes(shorter)
    done = backtest("verify", file, "--since", earlier)
    assert done.status == 2
    assert f"line {len(shorter.splitlines()) + 1} of {earlier} is not in {file}" in done.err


def test_a_price_that_was_never_traded_is_refused_with_the_line(published: tuple[Path, Path, str], store: Path) -> None:
    file, _, _ = published
    lines = lines_of(file)
    number = next(k for k, line in enumerate(lines) if line["kind"] == "result" and line["fills"])
    lines[number]["fills"][0]["price"] *= 1.2
    file.write_bytes(rewritten(lines))
    assert backtest("verify", file).status == 0
    done = backtest("verify", file, "--store", store)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert f"line {number + 1} of {file}" in done.err
    assert "when it traded between" in done.err


@pytest.mark.parametrize("edge", ["high", "low"])
def test_a_fill_at_the_edge_of_its_candle_and_slippage_stands_and_beyond_it_not(
    published: tuple[Path, Path, str], store: Path, edge: str
) -> None:
    file, _, _ = published
    lines = lines_of(file)
    fill = next(line for line in lines if line["kind"] == "result" and line["fills"])["fills"][0]
    one = candles()[BTC]
    price = float(getattr(one, edge)[list(one.time).index(fill["time"])])
    slipped = 1.0 + SubscriberProfile.anny().slippage_for("BTC")
    fill["price"] = price * slipped if edge == "high" else price / slipped
    file.write_bytes(rewritten(lines))
    assert backtest("verify", file, "--store", store).status == 0
    fill["price"] *= 1.000001 if edge == "high" else 0.999999
    file.write_bytes(rewritten(lines))
    assert backtest("verify", file, "--store", store).status == 2


def test_a_fill_when_no_candle_opens_is_refused_with_the_line(published: tuple[Path, Path, str], store: Path) -> None:
    file, _, _ = published
    lines = lines_of(file)
    number = next(k for k, line in enumerate(lines) if line["kind"] == "result" and line["fills"])
    lines[number]["fills"][0]["time"] += 1
    file.write_bytes(rewritten(lines))
    done = backtest("verify", file, "--store", store)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert f"line {number + 1} of {file}" in done.err
    assert "when no candle of" in done.err


SHAPES: list[tuple[str, Callable[[Line], object], str]] = [
    ("result", lambda line: line.pop("fills"), "fills: field required"),
    ("result", lambda line: line.pop("strategy"), "strategy: field required"),
    ("result", lambda line: line.update(fills=[{}]), "fills.1.time: field required"),
    ("result", lambda line: line.update(pnl="1"), "pnl: it should be a valid number"),
    ("result", lambda line: line.update(series=["BTC/USDT"]), "series: list should have at least 3 items"),
    ("result", lambda line: line.update(ended=10**30), "ended: it should be less than"),
    ("result", lambda line: line.update(ref="\x1b[2J"), "ref: it has characters that cannot be printed"),
    ("sent", lambda line: line.pop("call"), "call: field required"),
    ("sent", lambda line: line.update(ref=[1]), "ref: it should be a valid string"),
    ("sent", lambda line: line.update(timeframe="7q"), "timeframe: timeframe was '7q'"),
    ("sent", lambda line: line.update(kind="gift"), "its kind should be one of 'record', 'strategy', 'sent'"),
]


@pytest.mark.parametrize(("kind", "change", "sentence"), SHAPES, ids=[each[2] for each in SHAPES])
def test_a_line_of_another_shape_is_refused_with_its_number(
    tmp_path: Path, made: tuple[bytes, bytes, str], kind: str, change: Callable[[Line], object], sentence: str
) -> None:
    file = tmp_path / "record.jsonl"
    lines = [json.loads(line) for line in made[0].splitlines()]
    number = _alter(lines, kind, change)
    file.write_bytes(rewritten(lines))
    with pytest.raises(
        InvalidSettingError, match=re.escape(f"line {number} of {file} is no line of a track record: {sentence}")
    ):
        verify_record(file)


def test_lines_of_a_strategy_that_none_names_are_refused(tmp_path: Path, made: tuple[bytes, bytes, str]) -> None:
    file = tmp_path / "record.jsonl"
    lines = [line for line in map(json.loads, made[0].splitlines()) if line["kind"] != "strategy"]
    file.write_bytes(rewritten(lines))
    with pytest.raises(InvalidSettingError, match=r"line 2 of .* which no line before it names"):
        verify_record(file)


@pytest.mark.parametrize(
    "end", [b'{"a":NaN,"kind":"sent","previous":""}', b'{"a":' + b"[" * 100_000], ids=["nan", "deep"]
)
def test_an_end_that_is_no_line_is_refused(tmp_path: Path, made: tuple[bytes, bytes, str], end: bytes) -> None:
    file = tmp_path / "record.jsonl"
    file.write_bytes(made[0] + end + b"\n")
    with pytest.raises(InvalidSettingError, match=f"line {len(made[0].splitlines()) + 1} of .* is no line"):
        verify_record(file)


@pytest.mark.parametrize("since", ["", "abc123", "no-such-file.jsonl", "x" * 5_000])
def test_what_is_neither_a_copy_nor_a_head_is_one_sentence(
    tmp_path: Path, made: tuple[bytes, bytes, str], since: str
) -> None:
    file = tmp_path / "record.jsonl"
    file.write_bytes(made[0])
    with pytest.raises(InvalidSettingError, match="which is neither a file nor a head: 16 to 64 hex digits"):
        verify_record(file, since)


def test_figures_that_do_not_follow_from_the_lines_are_refused(published: tuple[Path, Path, str]) -> None:
    file, _, _ = published
    lines = lines_of(file)
    lines[-1]["won"] += 1
    file.write_bytes(rewritten(lines))
    done = backtest("verify", file)
    assert done.status == 2
    assert f"line {len(lines)} of {file} says won" in done.err


def test_figures_of_the_record_are_those_of_the_report(tmp_path: Path, store: Path) -> None:
    emission, file = room(tmp_path), tmp_path / "record.jsonl"
    emission.emit()
    done = backtest("reconcile", emission.path, "--store", store, "--json", "--publish", file, *PARAMETERS)
    report = json.loads(done.out)["strategies"][0]
    signals = {one["ref"]: one["sent"] for one in report["signals"]}
    lines = lines_of(file)
    results = {line["ref"]: line["pnl"] for line in lines if line["kind"] == "result"}
    assert results.items() <= signals.items()
    assert len(results) > 10
    figures = lines[-1]
    assert figures["kind"] == "figures"
    assert figures["signals"] == len(signals)
    assert figures["pnl"] == pytest.approx(sum(results.values()))
    left = sum(value for ref, value in signals.items() if ref not in results)
    assert figures["pnl"] + left == pytest.approx(report["gain"]["sent"])
    sent = [line for line in lines if line["kind"] == "sent"]
    assert all(line["decided"] < line["sent"] <= line["confirmed"] for line in sent)


def test_an_unknown_is_there_once_a_person_found_it(tmp_path: Path) -> None:
    emission, file = room(tmp_path, BTC), tmp_path / "record.jsonl"
    first: list[str] = []

    def fate(intent: Any) -> str:
        if intent.creates and not first:
            first.append(intent.ref)
        return "unknown" if intent.creates and intent.ref in first else "acked"

    emission.emit(fate)
    publish(emission, file, status=4)
    assert not [
        line
        for line in lines_of(file)
        if line.get("ref") in first and line["kind"] == "sent" and line["call"][0] == "c"
    ]
    with Journal.reopen(emission.path, emission.now) as journal:
        (unknown,) = journal.intents(State.UNKNOWN)
        resolve(journal, unknown.id, State.LANDED, emission.now, "found-9")
    publish(emission, file)
    named = next(line for line in lines_of(file) if line.get("ref") in first and line["kind"] == "sent")
    assert named["venue_id"] == "found-9"
    assert backtest("verify", file).status == 0


def test_a_record_of_another_journal_is_refused_and_kept(tmp_path: Path) -> None:
    emission, file = room(tmp_path, BTC), tmp_path / "record.jsonl"
    emission.emit(until=HISTORY + 200)
    publish(emission, file)
    before = file.read_bytes()
    (tmp_path / "other").mkdir()
    other = room(tmp_path / "other", BTC)
    one = candles()[BTC]
    at = int(one.time[HISTORY + 3])
    other.markets = {BTC: MARKETS[BTC]}
    other.seen_as[BTC, at] = None
    other.account = "another"
    other.emit(until=HISTORY + 200)
    done = backtest("reconcile", other.path, "--publish", file, *PARAMETERS)
    assert (done.status, file.read_bytes()) == (2, before)
    assert "line 1 of" in done.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "it has no line"), (b"{}", "its last line was cut short"), (b"SQLite format 3\0\n", "line 1 of")],
)
def test_what_is_no_record_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "record.jsonl"
    file.write_bytes(content)
    done = backtest("verify", file)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert sentence in done.err
    assert backtest("verify", tmp_path / "none.jsonl").status == 2


def test_a_stranger_verifies_it_with_the_script_of_the_docs(published: tuple[Path, Path, str], tmp_path: Path) -> None:
    file, _, _ = published
    page = (ROOT / "docs" / "track-record.md").read_text("utf-8")
    found = re.search(r"```py title=\"check.py\"\n(.*?)```", page, re.DOTALL)
    assert found is not None
    assert len(found[1].splitlines()) <= 10
    script = tmp_path / "check.py"
    script.write_text(found[1], "utf-8")
    done = subprocess.run([sys.executable, script, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert record_head(file) in done.stdout
    lines = lines_of(file)
    price(lines)
    file.write_text(
        "\n".join(json.dumps(line, sort_keys=True, separators=(",", ":")) for line in lines) + "\n", "ascii"
    )
    assert subprocess.run([sys.executable, script, file], capture_output=True, check=False).returncode != 0
