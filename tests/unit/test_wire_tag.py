"""The tag by which a person finds a create at the venue."""

from __future__ import annotations

import pytest

from backtest.errors import InvalidSignalError
from backtest.model.calls import CreateSignal
from backtest.wire import signal_tag, tag_of, with_tag

CREATE = CreateSignal(
    coin="BTC", trade_market="USDT", exchange="BINANCE", invest=10.0, entry_price_max=98.0, targets=(105.0,)
)
TAG = signal_tag("8d1c", "BTC/USDT", "1h", 1_700_002_800_000, 0)


def described(text: str | None) -> CreateSignal:
    return CreateSignal(
        coin="BTC",
        trade_market="USDT",
        exchange="BINANCE",
        invest=10.0,
        entry_price_max=98.0,
        targets=(105.0,),
        attachment_description=text,
    )


def test_tag_never_changes_between_releases() -> None:
    assert TAG == "f5b780474edc"


def test_each_part_makes_another_tag() -> None:
    parts = [
        ("8d1c", "BTC/USDT", "1h", 1_700_002_800_000, 0),
        ("8d1d", "BTC/USDT", "1h", 1_700_002_800_000, 0),
        ("8d1c", "ETH/USDT", "1h", 1_700_002_800_000, 0),
        ("8d1c", "BTC/USDT", "4h", 1_700_002_800_000, 0),
        ("8d1c", "BTC/USDT", "1h", 1_700_006_400_000, 0),
        ("8d1c", "BTC/USDT", "1h", 1_700_002_800_000, 1),
    ]
    assert len({signal_tag(*part) for part in parts}) == len(parts)


@pytest.mark.parametrize(
    ("text", "tagged"),
    [(None, f"ref:{TAG}"), ("", f"ref:{TAG}"), ("Breakout", f"Breakout ref:{TAG}"), ("ref:abc", f"ref:abc ref:{TAG}")],
)
def test_tag_ends_the_description(text: str | None, tagged: str) -> None:
    create = with_tag(described(text), TAG)
    assert create.attachment_description == tagged
    assert tag_of(tagged) == TAG
    assert with_tag(create, TAG) is create


def test_description_without_room_for_the_tag_is_refused() -> None:
    room = 1000 - len(f" ref:{TAG}")
    assert len(with_tag(described("x" * room), TAG).attachment_description or "") == 1000
    with pytest.raises(InvalidSignalError, match="attachment_description") as caught:
        with_tag(described("x" * (room + 1)), TAG)
    assert caught.value.field == "attachment_description"


@pytest.mark.parametrize("text", [None, "", "Breakout", "ref:xyz", f"ref:{TAG} and more", f"preref:{TAG}"])
def test_description_without_tag_has_none(text: str | None) -> None:
    assert tag_of(text) is None
