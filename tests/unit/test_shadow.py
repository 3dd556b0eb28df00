"""What a seat says of its shadow book: plain values of a real engine, as the control socket sends them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import TYPE_CHECKING

from backtest import Market, SubscriberProfile
from backtest.live.journal import Journal
from backtest.live.seat import Seat
from backtest.live.shadow import shadow_of
from backtest.market_data.series import Series
from backtest.runner.loading import load_strategy
from backtest.runner.shadow import Fate
from tests.fast_disk import fast_folder
from tests.journals import HOUR, RUN, START

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from backtest.model.calls import Call
    from backtest.runner.shadow import CallKey

__all__ = ["fast_folder"]  # a fixture

STRATEGY = """
from backtest import Strategy, UpdatePrices


class Once(Strategy):
    def on_candle(self, now):
        if not now.signals:
            yield now.create(entry=now.close, targets=[110.0, 150.0], stop_loss=90.0, invest=5)
        elif now.signals[0].stop == 90.0 and now.close > 104:
            yield UpdatePrices(now.signals[0].ref, stop_loss=95.0)
"""
CLOSES = [100.0, 99.0, 105.0, 112.0, 111.0]


def test_a_shadow_book_is_plain_values_with_the_path_of_a_signal(tmp_path: Path) -> None:
    (tmp_path / "once.py").write_text(STRATEGY)
    strategy = load_strategy(str(tmp_path / "once.py"))()
    market = Market("BTC/USDT", "0.01", "0.00001", min_amount=0.00001, min_cost=5.0, exchange="BINANCE")
    series = Series("binance", "BTC/USDT", "1h")
    with Journal(tmp_path / "emit.sqlite", RUN) as journal:
        seat = Seat(strategy, SubscriberProfile.anny(), {series: market}, journal, account="a", start=0, since=0)
        assert json.loads(json.dumps(shadow_of(seat)))["curve"] == []
        seat.session.follow(Everything())
        last = CLOSES[0]
        for k, close in enumerate(CLOSES):
            row = (START + k * HOUR, last, max(last, close) + 0.5, min(last, close) - 0.5, close, 1.0)
            seat.session.walk(row[0], {"BTC/USDT": row})
            last = close
        found = json.loads(json.dumps(shadow_of(seat)))
    (signal,) = found["signals"]
    assert (signal["side"], signal["status"], signal["stop"], signal["trailing"]) == (1, "open", 95.0, False)
    assert signal["targets"][:2] == [None, 150.0]
    kinds = [event[1] for event in signal["events"]]
    assert kinds[0] == "entered"
    assert "target_hit" in kinds
    assert len(found["curve"]) == len(CLOSES)
    assert found["equity"] == found["curve"][-1][1]
    assert (found["strategy"], found["symbols"]) == ("Once", ["BTC/USDT"])


class Everything:
    """Every call is at the venue from its close on."""

    def known(self, at: int) -> AbstractContextManager[Everything]:
        return nullcontext(self)

    def fate(self, key: CallKey) -> Fate:
        return Fate(entered=True)

    def asked(self) -> Sequence[tuple[CallKey, Call]]:
        return ()
