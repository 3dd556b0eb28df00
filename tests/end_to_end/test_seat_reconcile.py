"""Reconcile on journals of real seats: anchors that moved, rules that changed, restarts, and calls that met any fate."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from backtest import Candles
from backtest.runner.loading import load_strategy
from tests.command_line import BREAKOUT, backtest
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.journal_room import alike, shorter
from tests.seat_room import SeatRoom

if TYPE_CHECKING:
    from pathlib import Path

LOOKBACK = 12


def seats(path: Path, **more: object) -> SeatRoom:
    whole = shorter(Candles.sample("BTC/USD", "1h"), 3000, 700)
    candles = {"BTC/USDT": alike(whole, "BTC/USDT", 200), "ETH/USDT": alike(whole, "ETH/USDT", 0, 0.1)}
    candles = {symbol: one.slice(0, 450) for symbol, one in candles.items()}
    return SeatRoom(path / "journal.sqlite", load_strategy(BREAKOUT)(lookback=LOOKBACK), candles, **more)  # type: ignore[arg-type]


def test_what_seats_did_is_explained_by_fates_alone(tmp_path: Path) -> None:
    """Each difference is a fate or follows from one: no anchor, change of rules or restart looks like other code."""
    emission = seats(tmp_path, keep=100, tick="0.1")
    for number in range(450):
        if number == 250:
            emission.tick = "0.2"
            emission.restart()
        emission.close(number)
    emission.journal.close()
    with sqlite3.connect(emission.path) as db:
        assert db.execute("SELECT count(*) FROM anchor").fetchone()[0] > 4
        assert db.execute("SELECT count(*) FROM rules").fetchone()[0] == 4
    done = backtest("reconcile", emission.path, "--strategy", BREAKOUT, "--json")  # its parameters are the journal's
    found = json.loads(done.out)
    only = found["strategies"][0]
    assert only["parameters"]["lookback"] == LOOKBACK
    assert only["same_identity"]
    assert only["same_code"]
    causes = {line["cause"] for line in only["lines"]}
    assert causes == {"", "follows"}, only["lines"]
    assert {line["fault"] for line in only["lines"]} >= {"expired", "refused", "extra", "missing"}
    assert abs(sum(cost["money"] for cost in only["costs"]) - (only["gain"]["sent"] - only["gain"]["backtest"])) < 1e-6


def test_another_address_of_pictures_holds_from_a_restart_on(tmp_path: Path) -> None:
    """It is no change of code and no rule of the exchange: nobody is told, and what was sent keeps its address."""
    emission = seats(tmp_path, fates=("acked",))
    for number in range(450):
        if number == 200:
            emission.attachments = "https://channel.example/p"
            emission.restart()
        emission.close(number)
    emission.journal.close()
    with sqlite3.connect(emission.path) as db:
        sql = "SELECT candle, body FROM intent WHERE kind = 'create_v2' ORDER BY seq"
        bodies = [(candle, json.loads(body)) for candle, body in db.execute(sql)]
    changed = emission.first + 200 * 3_600_000
    assert {candle > changed for candle, body in bodies if "attachment_image1_url" in body} == {True}
    assert {candle <= changed for candle, body in bodies if "attachment_image1_url" not in body} == {True}
    assert not [notice for notice in emission.told if notice.kind == "rules"]
    done = backtest("reconcile", emission.path, "--strategy", BREAKOUT, "--json")
    assert done.status == 0, done.err
    assert json.loads(done.out)["strategies"][0]["lines"] == []
