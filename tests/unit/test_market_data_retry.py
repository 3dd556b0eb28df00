"""Asking again: bounded, patient when told to be, and never for what will not change."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate

import pytest

from backtest.errors import DataUnavailableError, InvalidSettingError
from backtest.market_data.response import Response
from backtest.market_data.retry import AskAgain, Retry


def run(retry: Retry, failures: list[Exception]) -> tuple[str, int]:
    asked = 0

    async def request() -> str:
        nonlocal asked
        asked += 1
        if failures:
            raise failures.pop(0)
        return "rows"

    return asyncio.run(retry.call("binance", "its candles", request)), asked


def test_what_may_pass_is_asked_again_and_again_but_not_for_ever() -> None:
    assert run(Retry(4, 0.001), [AskAgain("busy")] * 3) == ("rows", 4)
    with pytest.raises(
        DataUnavailableError, match="binance gave no usable answer for its candles in 4 attempts, the last was: busy"
    ):
        run(Retry(4, 0.001), [AskAgain("busy")] * 4)


def test_what_will_not_change_is_not_asked_again() -> None:
    failures: list[Exception] = [InvalidSettingError("no such symbol"), AskAgain("never reached")]
    with pytest.raises(InvalidSettingError):
        run(Retry(4, 0.001), failures)
    assert len(failures) == 1


def test_a_wait_that_the_server_asks_for_holds_for_every_request() -> None:
    retry = Retry(3, 0.001)

    async def both() -> list[float]:
        async def first() -> float:
            if not told:
                told.append(time.monotonic())
                raise AskAgain("slow down", 0.3)
            return time.monotonic()

        async def second() -> float:
            return time.monotonic()

        told: list[float] = []
        one = asyncio.create_task(retry.call("x", "a", first))
        await asyncio.sleep(0.05)
        two = asyncio.create_task(retry.call("x", "b", second))
        return [moment - told[0] for moment in await asyncio.gather(one, two)]

    assert min(asyncio.run(both())) >= 0.29


def test_a_wait_of_hours_is_not_waited() -> None:
    with pytest.raises(DataUnavailableError, match="binance asks to wait 7200 s before the next request"):
        run(Retry(), [AskAgain("banned", 7200)])


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("17", 17, 17),
        ("1.5", 1.5, 1.5),
        pytest.param(formatdate(time.time() + 7200), 3600, 7201, id="an HTTP date in two hours"),
        (formatdate(0), 0, 0),
        ("soon", 0, 0),
        ("", 0, 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str, least: float, most: float) -> None:
    assert least <= Response(429, {"RETRY-AFTER": header}, "").retry_after <= most


BYBIT, KRAKEN = ("result", "list"), ("result", "*")


@pytest.mark.parametrize(
    ("body", "place", "rows"),
    [
        ("[]", (), 0), ("[[1],[2]]", (), 2), ('{"list":[]}', (), None), ("[]", BYBIT, None), ("{}", BYBIT, None),
        ('{"retCode":0,"result":{"list":[]}}', BYBIT, 0), ('{"retCode":0,"result":{"other":[]}}', BYBIT, None),
        ('{"error":[],"result":{"XBTUSDT":[],"last":1}}', KRAKEN, 0), ('{"error":["x"]}', KRAKEN, None),
        ('{"data":null}', ("data",), None), ('{"data":[[1,2]]}', ("data",), 1), ('{"data":[[1,2', ("data",), None),
        ("null", (), None), ("", (), None), ("<html>", (), None),
        ("[]", None, 0), ('{"a":{"b":[1]}}', None, 1), ('{"error":[]}', None, None), ("{}", None, None),
    ],
)  # fmt: skip
def test_no_rows_are_believed_only_from_an_answer_with_a_place_for_rows(
    body: str, place: tuple[str, ...] | None, rows: int | None
) -> None:
    assert Response(200, {}, body).listed(place) == rows
