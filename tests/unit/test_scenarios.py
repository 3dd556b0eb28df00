"""The worked examples under tests/scenarios: each was derived by hand, with the reason beside it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from backtest.runner.scenario import replay_directory, replay_file
from tests import oracle

FOLDER = Path(__file__).parent.parent / "scenarios"
NAMES = [path.stem for path in sorted(FOLDER.glob("*.json"), key=lambda path: path.name)]

pytestmark = pytest.mark.jit_off


def expected(name: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((FOLDER / "expected" / f"{name}.json").read_text("utf-8"))
    return answer


def near(a: float | None, b: float | None) -> bool:
    return a == b if a is None or b is None else math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def assert_event(want: dict[str, Any], got: dict[str, Any]) -> None:
    assert (want["kind"], want["time"], want["target"]) == (got["kind"], got["time"], got["target"])
    assert near(want["price"], got["price"]), got
    assert near(want["quantity"], got["quantity"]), got


def assert_result(want: dict[str, Any], got: dict[str, Any]) -> None:
    assert [signal["ref"] for signal in want["signals"]] == [signal["ref"] for signal in got["signals"]]
    for mine, theirs in zip(want["signals"], got["signals"], strict=True):
        assert [event["kind"] for event in mine["events"]] == [event["kind"] for event in theirs["events"]]
        for one, other in zip(mine["events"], theirs["events"], strict=True):
            assert_event(one, other)
        assert mine["status"] == theirs["status"]
        assert near(mine["open_quantity"], theirs["open_quantity"])
        assert near(mine["average_entry"], theirs["average_entry"])
    assert near(want["cash"], got["cash"])
    assert want["ambiguous_candles"] == got["ambiguous_candles"]
    assert want["total_return"].keys() == got["total_return"].keys()
    for mode, value in want["total_return"].items():
        assert near(value, got["total_return"][mode]), mode


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_gives_what_was_derived_by_hand(name: str) -> None:
    assert_result(expected(name), replay_file(FOLDER / f"{name}.json"))


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_gives_what_was_derived_by_hand(name: str) -> None:
    assert_result(expected(name), oracle.replay(json.loads((FOLDER / f"{name}.json").read_text("utf-8"))))


def test_a_directory_gives_every_file_what_it_gives_alone() -> None:
    answers = replay_directory(FOLDER)
    assert [answer["file"] for answer in answers] == [f"{name}.json" for name in NAMES]
    for answer in answers:
        assert (answer["exit"], answer["error"]) == (0, "")
        assert answer["result"] == replay_file(FOLDER / answer["file"])


def test_every_golden_case_and_every_certain_one_is_there() -> None:
    golden = {name.partition("-")[0] for name in NAMES if name.startswith("g")}
    assert golden == {f"g{number:02}" for number in range(1, 19) if number != 7}
    assert sum(name.startswith("certain-") for name in NAMES) == 5


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("certain-")])
def test_a_certain_case_is_the_same_in_all_modes(name: str) -> None:
    result = replay_file(FOLDER / f"{name}.json")
    assert len(set(result["total_return"].values())) == 1
    assert result["ambiguous_candles"] == 0


def test_the_example_of_the_format_comes_out_as_it_is_printed() -> None:
    result = replay_file(FOLDER / "example-of-the-format.json")
    (signal,) = result["signals"]
    assert round(signal["realised_pnl"], 8) == -30.61224489
    assert (signal["fees"], signal["open_quantity"], signal["average_entry"]) == (0.0, 0.0, None)
    assert [event["fee"] for event in signal["events"]] == [0.0] * 4
    assert [(time, round(value, 8)) for time, value in result["equity"]] == [(1700006400000, 9969.38775511)]


def test_a_broken_file_stops_no_other_one(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text((FOLDER / f"{NAMES[0]}.json").read_text("utf-8"))
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_bytes(b"\xff")
    (tmp_path / "d.json").write_text("[]")
    (tmp_path / "e.txt").write_text("not a scenario")
    answers = replay_directory(tmp_path)
    assert [(answer["file"], answer["exit"]) for answer in answers] == [
        ("a.json", 0),
        ("b.json", 2),
        ("c.json", 2),
        ("d.json", 2),
    ]
    assert "is no JSON" in answers[1]["error"]
    assert "cannot be read" in answers[2]["error"]
    assert "a scenario is a JSON object" in answers[3]["error"]
