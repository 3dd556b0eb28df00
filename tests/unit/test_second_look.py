"""A candle that is revised: whether a call would have been another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from backtest import Market, SubscriberProfile
from backtest.live.journal import Journal
from backtest.live.notices import NoticeKind, Notices
from backtest.live.schema import Decided, Seen
from backtest.live.second_look import Judged, SecondLook, changes
from backtest.live.snapshot import snapshot
from backtest.market_data.series import Series
from backtest.runner.loading import load_strategy
from tests.fast_disk import fast_folder
from tests.journals import HOUR, RUN, START, stream

if TYPE_CHECKING:
    from pathlib import Path

    from backtest.strategy import Strategy

__all__ = ["fast_folder"]  # a fixture

STRATEGY = """
from backtest import Strategy


class Green(Strategy):
    def on_candle(self, now):
        if now.close > now.open and not now.signals:
            yield now.create(entry=now.close, targets=[now.close * 2], stop_loss=now.close / 2, invest=5)
"""
MARKET = Market("BTC/USDT", "0.01", "0.00001", min_amount=0.00001, min_cost=5.0, exchange="BINANCE")
RED = [Seen(START + k * HOUR, 100.0, 101.0, 98.0, 99.0, 1.0, "rest", START + (k + 1) * HOUR) for k in range(6)]

SENTENCE = (
    "BTC/USDT 1h: with the candle of 2024-03-04T03:00:00.000Z as it is now, 1 call would have been another one, "
    "the first create_v2 of BTC/USDT-1709524800000-0 at the close of 2024-03-04T04:00:00.000Z"
)


def revised(k: int, close: float | None) -> Seen:
    """A candle of the six, with another close; None where it is gone."""
    row = None if close is None else (RED[k].time, 100.0, max(101.0, close), 98.0, close, 1.0)
    return Seen.of(RED[k].time, row, "rest", RED[k].time + 9 * HOUR)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "green.py").write_text(STRATEGY)
    return tmp_path / "green.py"


def kept(path: Path, strategy: Strategy, *revisions: Seen) -> Path:
    """A journal of six candles without a call, some of which were revised."""
    with Journal(path, RUN) as journal:
        mine = stream("BTC/USDT", strategy.identity)
        journal.keep([Decided(mine, RED[-1].time + HOUR, seen=RED, anchor=START)], RED[-1].time + HOUR)
        for one in revisions:
            journal.revise(mine, one)
    return path


@pytest.mark.parametrize(
    ("revisions", "said"),
    [
        ((), []),
        ((revised(2, 98.5),), []),
        ((revised(2, None),), []),
        ((revised(2, 100.5), revised(2, 98.9)), []),  # the newest counts
        (
            (revised(1, 98.5), revised(3, 100.5)),
            [SENTENCE],
        ),
    ],
)
def test_only_what_would_have_changed_a_call_is_told(revisions: tuple[Seen, ...], said: list[str], file: Path) -> None:
    strategy = load_strategy(str(file))()
    path = kept(file.with_name("emit.sqlite"), strategy, *revisions)
    judged = Judged(strategy, SubscriberProfile.anny(), {"BTC/USDT": MARKET})
    assert [one.sentence for one in changes(snapshot(path), [judged])] == said


def test_a_revision_is_looked_at_in_a_process_of_its_own_and_told_once(file: Path) -> None:
    strategy = load_strategy(str(file))()
    path = kept(file.with_name("emit.sqlite"), strategy, revised(3, 100.5))
    profile: dict[str, Any] = SubscriberProfile.anny().to_dict()
    entry = {"file": str(file), "parameters": {}, "profile": profile, "markets": {"BTC/USDT": MARKET.to_dict()}}
    with Notices() as bus:
        look = SecondLook(path, [entry], bus, lambda: 7)
        bus.tell(NoticeKind.REVISION, 1, "a candle was revised")
        ((_, notice),) = bus.since()
        look.take(notice)
        look.take(notice)
        (told,) = [notice for _, notice in bus.since() if notice.kind is NoticeKind.CHANGED]
    assert told.series == (Series("binance", "BTC/USDT", "1h"),)
    assert told.sentence.startswith("BTC/USDT 1h: with the candle of 2024-03-04T03:00:00.000Z as it is now")
