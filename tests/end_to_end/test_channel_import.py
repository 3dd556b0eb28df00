"""From a channel's export, made for this, to the report: edits, deletions, answers, zones, three languages."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from backtest import Candles, Result
from tests.command_line import backtest

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
exchange = "BINANCE"
quote = "USDT"
invest = 5
account = "by leverage"
leverage = 1
margin_type = "ISOLATED"
decimal = "."
edited_within = "5m"
latency = "30s"
market = "first minute"
stop_to_entry = "near"
without_stop = "send"
"""
HOUR = 3_600_000


def price_at(candles: Candles, day: str, times: float = 1.0) -> str:
    k = int(np.searchsorted(candles.close_time, np.datetime64(day, "ms").astype(np.int64), "right")) - 1
    return f"{candles.close[k] * times:.0f}"


def message(number: int, when: str, text: Any, **more: Any) -> dict[str, Any]:
    seconds = int(np.datetime64(when, "s").astype(np.int64))
    found = {
        "id": number,
        "type": "message",
        "date": when,
        "date_unixtime": str(seconds),
        "from": "Signals",
        "text": text,
    }
    if "edited_after" in more:
        found["edited_unixtime"] = str(seconds + more.pop("edited_after"))
    return {**found, **more}


@pytest.fixture(scope="module")
def candles() -> Candles:
    return Candles.sample("BTC/USD", "1h")


def export_of(candles: Candles) -> dict[str, Any]:
    """Return an export of a month of 2019: what was deleted is not there."""

    def p(day: str, times: float = 1.0) -> str:
        return price_at(candles, day, times)

    before = "2019-06-19T20:00:00"
    a, b, c, d, e, f = (f"2019-06-{day:02d}T10:00:00" for day in (3, 5, 8, 12, 15, 20))
    return {
        "name": "Signals",
        "type": "public_channel",
        "id": 1,
        "messages": [
            {
                "id": 1,
                "type": "service",
                "date": a,
                "date_unixtime": str(int(np.datetime64(a, "s").astype(np.int64)) - 60),
                "action": "create_channel",
                "text": "",
            },
            message(
                2,
                a,
                [
                    "Long ",
                    {"type": "hashtag", "text": "#BTC/USDT"},
                    f"\nEntry zone {p(a, 0.99)}-{p(a, 1.005)}\nTP1: {p(a, 1.03)}\nTP2: {p(a, 1.3)}\nSL: {p(a, 0.9)}",
                ],
            ),
            message(3, "2019-06-03T12:00:00", "Good luck everybody 🍀"),
            message(4, "2019-06-04T10:00:00", "Move stop to entry", reply_to_message_id=2),
            message(7, b, f"🔴 ШОРТ BTC/USDT\nВход: {p(b)}\nЦель: {p(b, 0.95)}\nСтоп: {p(b, 1.05)}\nПлечо: 3x"),
            message(8, "2019-06-06T09:00:00", "Закрываем сделку по рынку", reply_to_message_id=7),
            message(
                9,
                c,
                f"LARGO BTC/USDT\nEntrada: {p(c)}\nObjetivos: {p(c, 1.05)} - {p(c, 1.15)}\nStop: {p(c, 0.93)}",
                edited_after=90,
            ),
            message(10, d, f"Long BTC/USDT entry {p(d)} TP {p(d, 1.1)} SL {p(d, 0.9)} ✅", edited_after=75_600),
            message(11, e, f"Long BTC/USDT entry {p(e, 0.1)} TP {p(e, 0.11)} SL {p(e, 0.09)}"),
            message(12, "2019-06-16T10:00:00", "Close half here", reply_to_message_id=9),
            message(14, f, f"Long BTC/USDT entry {p(before)} TP {p(f, 1.2)} SL {p(f, 0.9)}"),
            message(15, "2019-06-20T11:00:00", f'=HYPERLINK("http://example.org") long BTC/USDT {p(f)}'),
        ],
    }


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, candles: Candles) -> tuple[Path, str]:
    """The folder of the import, and what was printed."""
    folder = tmp_path_factory.mktemp("channel")
    (folder / "result.json").write_text(json.dumps(export_of(candles), ensure_ascii=False), "utf-8")
    (folder / "channel.toml").write_text(RULES, "utf-8")
    done = import_in(folder)
    assert (done.status, done.err) == (0, "")
    return folder, done.out


def import_in(folder: Path) -> Any:
    return backtest(
        "channel",
        "import",
        folder / "result.json",
        "--rules",
        folder / "channel.toml",
        "--out",
        folder / "out",
        "--candles",
        "sample:BTC/USD:1h",
    )


def review(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "out" / "review.csv").open(encoding="utf-8", newline="") as stream:
        return {row["id"]: row for row in csv.DictReader(stream)}


def test_every_message_is_read_or_refused_with_its_reason(imported: tuple[Path, str]) -> None:
    rows = review(imported[0])
    kinds = {number: row["reading"].split()[0] for number, row in rows.items()}
    assert kinds == {
        "2": "create", "3": "chatter", "4": "update", "7": "create", "8": "cancel", "9": "create", "10": "unreadable",
        "11": "unreadable", "12": "unreadable", "14": "create", "15": "unreadable",
    }  # fmt: skip
    assert rows["10"]["reason"] == "edited 21 h after it was sent: not counted"
    assert "times the close" in rows["11"]["reason"]
    assert "closes a part" in rows["12"]["reason"]
    assert all(row["reason"] for row in rows.values() if row["reading"] == "unreadable")
    assert rows["15"]["text"].startswith("'=HYPERLINK")


def test_the_history_is_honest_above_the_figures_of_the_replay(imported: tuple[Path, str]) -> None:
    folder, out = imported
    for part in (
        "3 messages (20.0 %)",
        "edited up to 21 h",
        "came after its entry had been passed",
        "4 messages could not be read",
    ):
        assert part in out, part
    done = backtest(
        "replay",
        folder / "out" / "calls.csv",
        "--candles",
        "sample:BTC/USD:1h",
        "--since",
        "2019-06-01",
        "--until",
        "2019-08-01",
        "--out",
        folder / "run",
    )
    assert (done.status, done.err) == (0, "")
    plain = " ".join(done.out.split())
    assert "deleted, and nobody can say what they were" in plain
    assert plain.count("waited for the next open") == 1
    assert plain.index("waited for the next open") < plain.index("Warning: ")
    assert plain.index("edited up to 21 h") < plain.index("Warning: ")
    page = (folder / "run" / "report.html").read_text("utf-8")
    assert "deleted, and nobody can say what they were" in page
    result = Result.load(folder / "run")
    assert len(result.calls) == 6
    assert {one.signal for one in result.events} == {"2", "7", "9", "14"}


def test_decisions_survive_and_are_followed(imported: tuple[Path, str], tmp_path: Path, candles: Candles) -> None:
    del imported
    (tmp_path / "result.json").write_text(json.dumps(export_of(candles)), "utf-8")
    (tmp_path / "channel.toml").write_text(RULES, "utf-8")
    assert import_in(tmp_path).status == 0
    price = price_at(candles, "2019-06-15T10:00:00")
    decide(
        tmp_path,
        {
            "10": "keep",
            "14": "drop",
            "11": f"as Long BTC/USDT entry {price} TP {int(price) + 500} SL {int(price) - 500}",
        },
    )
    for _ in range(2):  # the second run finds what the first one wrote
        done = import_in(tmp_path)
        assert done.status == 0
        assert "A person decided about 3 messages, 1 of them to leave out" in done.out
        rows = review(tmp_path)
        assert [rows[one]["reading"].split()[0] for one in ("10", "11", "14")] == ["create", "create", "dropped"]
        assert rows["10"]["decision"] == "keep"


def test_a_decision_about_another_text_is_not_followed(tmp_path: Path, candles: Candles) -> None:
    export = export_of(candles)
    (tmp_path / "result.json").write_text(json.dumps(export), "utf-8")
    (tmp_path / "channel.toml").write_text(RULES, "utf-8")
    import_in(tmp_path)
    decide(tmp_path, {"14": "drop"})
    export["messages"][-2]["text"] += " "
    export["messages"][-2]["text"] = export["messages"][-2]["text"].replace("Long", "Going long")
    (tmp_path / "result.json").write_text(json.dumps(export), "utf-8")
    assert import_in(tmp_path).status == 0
    row = review(tmp_path)["14"]
    assert (row["reading"].split()[0], row["decision"]) == ("create", "drop")
    assert "about another text: decide again" in row["reason"]


def decide(folder: Path, decisions: dict[str, str]) -> None:
    rows = review(folder)
    for number, decision in decisions.items():
        rows[number]["decision"] = decision
    with (folder / "out" / "review.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.DictWriter(
            stream, list(rows["2"]), delimiter=";", lineterminator="\r\n"
        )  # as a spreadsheet saves it
        writer.writeheader()
        writer.writerows(rows.values())


def test_a_plan_of_the_channel_moves_stops_in_the_replay(tmp_path: Path, candles: Candles) -> None:
    (tmp_path / "result.json").write_text(json.dumps(export_of(candles)), "utf-8")
    (tmp_path / "channel.toml").write_text(RULES + '\nplan = [{ kind = "break_even_at", target = 1 }]\n', "utf-8")
    assert import_in(tmp_path).status == 0
    done = backtest(
        "replay",
        tmp_path / "out" / "calls.csv",
        "--candles",
        "sample:BTC/USD:1h",
        "--since",
        "2019-06-01",
        "--until",
        "2019-07-01",
        "--out",
        tmp_path / "run",
    )
    assert (done.status, done.err) == (0, "")
    result = Result.load(tmp_path / "run")
    assert len(result.calls) > 6
    hits = {one.signal for one in result.events if one.kind == "target_hit"}
    assert {one.signal for one in result.calls[6:]} <= hits | {one.signal for one in result.calls}
    told = backtest("explain", tmp_path / "run", "9")
    assert "stop" in told.out


def test_calls_that_were_changed_by_hand_are_said_to_be(imported: tuple[Path, str], tmp_path: Path) -> None:
    for name in ("calls.csv", "channel.json"):
        (tmp_path / name).write_text((imported[0] / "out" / name).read_text("utf-8"), "utf-8")
    log = tmp_path / "calls.csv"
    log.write_text(log.read_text("utf-8").replace(",5,", ",6,"), "utf-8")
    done = backtest("replay", log, "--candles", "sample:BTC/USD:1h", "--since", "2019-06-01", "--until", "2019-08-01")
    assert "was changed after it was imported" in " ".join(done.out.split())
