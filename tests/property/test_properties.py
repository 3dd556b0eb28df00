"""What must hold whatever the scenario: mirror, order of the modes, conservation, prefixes, the same bytes twice."""

from __future__ import annotations

import copy
import json
import random
from typing import TYPE_CHECKING, Any

import pytest

from backtest.engine.codes import E_LIQUIDATED, SPOT
from backtest.engine.parameters import MODES
from backtest.runner.scenario import Scenario
from tests.builders import FILLS, QUIET, called, create, result_of, scenario, venue_of
from tests.property.test_against_oracle import EVERY_CANDLE, SETUPS
from tests.random_scenarios import any_scenario, margin_calls, one_symbol, several_symbols

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from backtest.engine.simulator import SimulatedVenue
    from backtest.model.events import Event

AXIS = 100.0  # prices p and 100 - p mirror each other
SEEDS = range(5000, 5150)
EXITS = FILLS[1:]
BUYS = ("entered", "rebought", "dca_filled")
SALES = ("stop_hit", "trailing_hit", "canceled", "liquidated")
SWAPPED = {
    "entry_price_min": "entry_price_max",
    "buy_price_min": "buy_price_max",
    "invest_entry_min": "invest_entry_max",
}
SWAPPED |= {other: one for one, other in SWAPPED.items()}


# ------------------------------------------------------------------------------------------------ mirror


def mirrorable(seed: int) -> dict[str, Any] | None:
    """Return a random scenario without what breaks the symmetry, or None.

    Fees, slippage, dojis, liquidation; also percentages of a price, and averages of several buys, whose quantities are
    money over price. Bounds that only one side has cannot change places.
    """
    values = one_symbol(random.Random(seed))
    plain = {"slippage": 0.0, "maker_fee": 0.0, "taker_fee": 0.0, "stop_order": "market", "intrabar": "candle"}
    values["profile"] |= plain | {"trailing_take_profit": None, "allocation_limit": 100, "basis": "initial"}
    if values["profile"]["take_profit_at"] == "4%" or values["profile"]["trail_distance"] == "relative":
        return None
    values["market"] |= {"min_amount": "0", "min_cost": "0", "step": "0.00000001"}
    for series in (values["candles"], values.get("detail")):
        if series and any(row[1] == row[4] or row[2] >= AXIS for row in series["rows"]):
            return None
    for entry in values["calls"]:
        entry["body"] |= {"account": "SPOT", "invest": 5, "leverage": 1} if entry["call"] == "create_v2" else {}
        if entry["call"] == "updateprice" and {"entry_price_min", "entry_price_max"} & set(entry["body"]):
            return None
    return values


def mirrored(values: dict[str, Any]) -> dict[str, Any]:
    """Return the scenario with prices reflected and sides exchanged."""
    other = copy.deepcopy(values)
    for series in (other["candles"], other.get("detail")):
        for row in series["rows"] if series else ():
            row[1:5] = [round(AXIS - price, 2) for price in (row[1], row[3], row[2], row[4])]
    for entry in other["calls"]:
        entry["body"] = mirrored_body(entry["body"], both={"entry_price_min", "entry_price_max"} <= set(entry["body"]))
    return other


def mirrored_body(body: dict[str, Any], *, both: bool) -> dict[str, Any]:
    """Return a body with prices reflected; with two bounds they change places."""
    found = {}
    for name, value in body.items():
        swap = both or name.startswith("buy_price_m")
        target = SWAPPED.get(name, name) if swap else name
        found[target] = f"{AXIS - float(value):.6f}" if isinstance(value, str) and is_price(name) else value
    if "type" in body:
        found["type"] = "short" if body["type"] == "long" else "long"
    return found


def is_price(name: str) -> bool:
    return "price" in name or name == "stop_loss"


def outline(values: dict[str, Any], reflect: Callable[[float], float]) -> list[list[tuple[Any, ...]]]:
    return [
        [
            (e["time"], e["kind"], e["target"], None if e["price"] is None else round(reflect(e["price"]), 6))
            for e in signal["events"]
        ]
        for signal in result_of(values)["signals"]
    ]


def test_a_short_is_the_mirror_of_a_long() -> None:
    tried = [values for seed in range(600) if (values := mirrorable(seed)) is not None]
    assert len(tried) > 100
    events = 0
    for values in tried:
        one = outline(values, lambda price: price)
        assert outline(mirrored(values), lambda price: AXIS - price) == one
        events += sum(len(signal) for signal in one)
    assert events > 500


# ------------------------------------------------------------------------------------------------ the three modes


WITHOUT_TRAILING = [name for name, (calls, _) in SETUPS.items() if "trailing_stop_price" not in json.dumps(calls)]


@pytest.mark.parametrize("name", WITHOUT_TRAILING)
def test_on_one_candle_pessimistic_is_least_and_optimistic_most(name: str) -> None:
    calls, more = SETUPS[name]
    for candle in EVERY_CANDLE:
        low, middle, high = result_of(scenario([QUIET, candle], *calls, **more))["total_return"].values()
        assert low <= middle + 1e-12, candle
        assert middle <= high + 1e-12, candle


@pytest.mark.parametrize("name", SETUPS)
def test_what_is_not_ambiguous_is_the_same_in_all_modes(name: str) -> None:
    calls, more = SETUPS[name]
    certain = 0
    for candle in EVERY_CANDLE:
        result = result_of(scenario([QUIET, candle], *calls, **more))
        if not result["ambiguous_candles"]:
            certain += 1
            low, middle, high = result["total_return"].values()
            assert low == pytest.approx(middle, abs=1e-12) == pytest.approx(high, abs=1e-12), candle
    assert certain > 100


@pytest.mark.parametrize("mode", MODES)
def test_a_run_without_an_ambiguous_candle_is_the_same_in_all_modes(mode: str) -> None:
    certain = 0
    for seed in SEEDS:
        values = any_scenario(random.Random(seed))
        values["profile"]["intrabar"] = mode
        result = result_of(values)
        if not result["ambiguous_candles"] and any(signal["events"] for signal in result["signals"]):
            certain += 1
            low, middle, high = result["total_return"].values()
            assert low == pytest.approx(middle, abs=1e-9) == pytest.approx(high, abs=1e-9), seed
    assert certain > 30


def test_neither_cash_nor_equity_falls_below_zero() -> None:
    ruined = 0
    for seed in (*range(300), 926):
        values = margin_calls(random.Random(seed))
        trades = all(row[5] for entry in values["markets"] for row in entry["candles"]["rows"])
        venue = Scenario.from_dict(values).run()
        if not any(record.cross and record.account != SPOT for record in venue.open_records):
            assert venue.account.cash >= -1e-6, (
                seed
            )  # else their profit may have paid for the loss of another one (L13.2)
        # where nothing trades a liquidation waits, and equity at the last price may be less meanwhile (L2.6)
        assert not trades or venue.equity.min() >= -1e-6, seed
        assert venue.account.reserved <= max(0.0, venue.account.cash) + 1e-6, seed
        ruined += bool((venue.event_records["kind"] == E_LIQUIDATED).any())
    assert ruined > 50


# ------------------------------------------------------------------------------------------------ candle by candle


def walked(values: dict[str, Any]) -> Iterator[tuple[SimulatedVenue, list[Event]]]:
    """Walk a scenario of one market close by close, yielding the venue and the events of each candle."""
    venue, calls = venue_of(values)
    for at, call in calls:
        venue.send(call, at)
    for row in values["candles"]["rows"]:
        venue.append(values["market"]["symbol"], int(row[0]), *row[1:])
        venue.advance()
        yield venue, venue.new_events()


def without_detail(seed: int, mode: str = "pessimistic") -> dict[str, Any]:
    values = one_symbol(random.Random(seed))
    values["profile"]["intrabar"] = mode
    return {name: value for name, value in values.items() if name not in {"detail", "assumptions"}}


def close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(1.0, abs(a), abs(b))


@pytest.mark.parametrize("mode", MODES)
def test_cash_and_equity_are_conserved_at_every_candle(mode: str) -> None:
    held = 0
    for seed in SEEDS:
        values = without_detail(seed, mode)
        rows = values["candles"]["rows"]
        known, last = any(row[5] for row in rows), rows[0][1]
        for (venue, _), row in zip(walked(values), rows, strict=True):
            last = row[4] if row[5] or not known else last
            account, living = venue.account, venue.living(values["market"]["symbol"])
            parts = values["profile"]["balance"] + account.realised - account.fees - account.funding - account.margin
            assert close(account.cash, parts), seed
            unrealised = sum(s.side * s.open_quantity * (last - s.average_entry) for s in living if s.average_entry)
            assert close(venue.equity_now, account.cash + account.margin + unrealised), seed
            assert close(float(venue.equity[-1]), venue.equity_now), seed
            assert account.reserved >= -1e-9, seed
            held += any(s.open_quantity for s in living)
    assert held > 40


def test_what_the_account_booked_is_what_its_signals_booked() -> None:
    for seed in SEEDS:
        venue = Scenario.from_dict(one_symbol(random.Random(seed))).run()
        outcomes = venue.outcomes()
        for name in ("realised", "fees", "funding"):
            assert close(float(getattr(venue.account, name)), float(outcomes[name].sum())), (seed, name)


def test_cash_is_never_negative_for_longs_on_spot() -> None:
    bought = 0
    for seed in range(400):
        values = without_detail(seed)
        creates = [entry["body"] for entry in values["calls"] if entry["call"] == "create_v2"]
        if any(body["type"] == "short" for body in creates):
            continue
        for body in creates:
            body |= {"account": "SPOT", "invest": 60}
        for venue, events in walked(values):
            assert venue.account.cash >= -1e-6, seed
            bought += any(event.kind.value in BUYS for event in events)
    assert bought > 30


def test_a_stop_a_cancel_and_a_liquidation_sell_all_that_is_open() -> None:
    sold = 0
    for seed in SEEDS:
        openly: dict[str, float] = {}
        for _, events in walked(without_detail(seed)):
            for event in events:
                if event.kind.value in SALES and event.quantity:
                    assert close(event.quantity, openly[event.signal]), seed
                    assert event.open_quantity == 0.0, seed
                    sold += 1
                openly[event.signal] = event.open_quantity
    assert sold > 50


def test_a_position_with_a_stop_keeps_it_after_every_candle() -> None:
    stops = 0
    for seed in SEEDS:
        values = without_detail(seed)
        wanted = {e["ref"] for e in values["calls"] if e["call"] == "create_v2" and "stop_loss" in e["body"]}
        for venue, _ in walked(values):
            for signal in venue.living(values["market"]["symbol"]):
                if signal.ref in wanted:
                    assert signal.stop is not None, seed
                    stops += 1
    assert stops > 100


@pytest.mark.parametrize("scenarios", [one_symbol, several_symbols])
def test_a_closed_signal_sold_what_it_bought(scenarios: Callable[[random.Random], dict[str, Any]]) -> None:
    closed = 0
    for seed in SEEDS:
        for signal in result_of(scenarios(random.Random(seed)))["signals"]:
            bought = sum(e["quantity"] for e in signal["events"] if e["kind"] in BUYS)
            sold = sum(e["quantity"] for e in signal["events"] if e["kind"] in EXITS and e["kind"] not in BUYS)
            assert close(bought - sold, signal["open_quantity"]), seed
            if signal["status"] == "closed":
                assert signal["open_quantity"] == 0.0, seed
                assert signal["events"][-1]["kind"] in {"closed", "refused"}, seed
                closed += 1
    assert closed > 50


# ------------------------------------------------------------------------------------------------ the same again


@pytest.mark.parametrize("scenarios", [one_symbol, several_symbols])
def test_the_same_input_twice_gives_the_same_bytes(scenarios: Callable[[random.Random], dict[str, Any]]) -> None:
    for seed in SEEDS[:60]:
        one, other = (json.dumps(result_of(scenarios(random.Random(seed)))) for _ in range(2))
        assert one == other, seed


def told(events: Sequence[Event]) -> list[str]:
    return [repr(event) for event in events]


@pytest.mark.parametrize("mode", MODES)
def test_candle_by_candle_gives_the_events_of_the_whole_run(mode: str) -> None:
    for seed in SEEDS:
        values = without_detail(seed, mode)
        whole = Scenario.from_dict(values).run()
        events = [event for _, some in walked(values) for event in some]
        assert told(events) == told(whole.new_events()), seed


@pytest.mark.parametrize("scenarios", [one_symbol, several_symbols])
def test_a_prefix_of_the_candles_gives_a_prefix_of_the_events(
    scenarios: Callable[[random.Random], dict[str, Any]],
) -> None:
    for seed in SEEDS[:60]:
        values = scenarios(random.Random(seed))
        if len({part["candles"]["rows"][0][0] for part in values.get("markets", [values])}) > 1:
            continue  # a candle that is still open has already traded
        whole = told(Scenario.from_dict(values).run().new_events())
        before = 0
        for cut in cuts(values):
            part = told(Scenario.from_dict(cut).run().new_events())
            assert part == whole[: len(part)], seed
            assert len(part) >= before, seed
            before = len(part)
        assert before == len(whole), seed


def cuts(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the scenario up to each of its closes."""
    blocks = values.get("markets", [values])
    closes = sorted({row[0] for part in blocks for row in part["candles"]["rows"]})
    for end in closes:
        cut = copy.deepcopy(values)
        for part in cut.get("markets", [cut]):
            rows = part["candles"]["rows"]
            part["candles"]["rows"] = [row for row in rows if row[0] <= end]
            part["funding"] = [pair for pair in part.get("funding", []) if pair[0] <= end]
            if any(row[5] for row in rows) and not any(row[5] for row in part["candles"]["rows"]):
                break  # that volumes are known is not to be seen from such a prefix (L2.6)
        else:
            yield cut


def test_calls_may_be_sent_before_a_candle_or_with_it() -> None:
    values = scenario([QUIET, (100, 104, 99, 103)], create(1, targets=(103,)))
    late = copy.deepcopy(values)
    late["calls"][0]["at"] -= 1
    assert result_of(values) == result_of(late)
    assert isinstance(called(values["calls"][0]).ref, str)  # type: ignore[union-attr]
