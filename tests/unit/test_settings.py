"""Settings of live emission: where they come from, in which order, and what is said of a wrong one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from backtest.errors import InvalidSettingError
from backtest.live.settings import EmitSettings, LiveSettings
from tests.shown import is_as_kept

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """
[account]
fingerprint = "0123456789abcdef"
journal = "kept/live.sqlite"

[limits]
per_minute = 20
tries = 2

[feed]
late_after = 7
graces = { bybit = 3 }

[[strategy]]
file = "strategies/breakout.py:Breakout"
parameters = { lookback = 72 }
exchange = "BINANCE"
markets = ["BTC/USDT", "ETH/USDT"]
timeframe = "1h"

[[strategy]]
file = "/elsewhere/dip.py"
exchange = "gateio"
markets = ["BTC/USDT:USDT"]
timeframe = "4h"
profile = "mine.json"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "live.toml"
    path.write_text(TEXT)
    return path


def test_a_file_is_read_and_its_paths_begin_at_its_folder(file: Path) -> None:
    found = LiveSettings.load(file)
    assert (found.account.fingerprint, found.account.journal) == ("0123456789abcdef", file.parent / "kept/live.sqlite")
    assert (found.limits.per_minute, found.limits.tries, found.limits.most_unknowns) == (20, 2, 3)
    assert (found.feed.late_after, found.feed.grace_of("bybit"), found.feed.grace_of("okx")) == (7.0, 3.0, 2.0)
    breakout, dip = found.strategy
    assert breakout.file == str(file.parent / "strategies/breakout.py:Breakout")
    assert (breakout.parameters, breakout.profile) == ({"lookback": 72}, "anny")
    assert [str(series) for series in breakout.series] == ["binance BTC/USDT 1h", "binance ETH/USDT 1h"]
    assert (dip.file, dip.exchange, dip.profile) == ("/elsewhere/dip.py", "gate", str(file.parent / "mine.json"))
    with pytest.raises(ValidationError, match="frozen"):
        breakout.timeframe = "1d"  # type: ignore[misc]  # which is the point


def test_a_flag_goes_before_a_variable_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKTEST_LIMITS__PER_MINUTE", "30")
    monkeypatch.setenv("BACKTEST_LIMITS__TRIES", "9")
    monkeypatch.setenv("BACKTEST_FAILPOINT", "K99")  # of something else
    limits = LiveSettings.load(file, {"limits": {"per_minute": 40, "tries": None}, "account": {"journal": None}}).limits
    assert (limits.per_minute, limits.tries) == (40, 9)
    assert LiveSettings.load(file).limits.per_minute == 30
    monkeypatch.setenv(
        "BACKTEST_STRATEGY", '[{"file": "a.py", "exchange": "okx", "markets": ["A/B"], "timeframe": "1d"}]'
    )
    (only,) = LiveSettings.load(file).strategy
    assert (only.file, only.exchange) == ("a.py", "okx")


def test_nothing_said_is_the_default_and_any_change_another_hash() -> None:
    assert LiveSettings.load() == LiveSettings()
    assert LiveSettings.load().strategy == ()
    hashes = {EmitSettings(per_minute=number).hash for number in (8, 9)} | {EmitSettings().hash}
    assert len(hashes) == 2


def test_each_setting_has_its_default_and_bounds() -> None:
    sections = LiveSettings.model_json_schema()["$defs"]
    words = ("default", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minItems", "type")
    lines = []
    for section, schema in sections.items():
        for name, field in schema.get("properties", {}).items():
            either = [field, *field.get("anyOf", ())]
            said = [f"{word} {json.dumps(each[word])}" for each in either for word in words if word in each]
            lines.append(f"{section}.{name}: {', '.join(said)}")
    is_as_kept("settings.txt", "\n".join(lines) + "\n")


BASE = TEXT[TEXT.index("[[strategy]]") :]
WRONG = [
    ('[strategy]\nfile = "a.py"\n', "has [strategy]; ", "write [[strategy]], with two brackets"),
    ("[alerts]\ndrift = nan\n", "has alerts.drift = NaN; ", "it should be a number"),
    ("[limits]\nper_minut = 3", "has the setting 'limits.per_minut'; limits knows per_minute, ", 'mean "per_minute"?'),
    ("[limit]\nper_minute = 3", "has the setting 'limit'; it knows account, limits, ", 'Did you mean "limits"?'),
    ("[limits]\nper_minute = 0", "has limits.per_minute = 0; ", "greater than or equal to 1"),
    ('[limits]\nper_minute = "ten"', 'has limits.per_minute = "ten"; ', "a valid integer"),
    ("limits = 3", "has limits = 3; it should be a table", ""),
    ("strategy = 3", "has strategy = 3; it should be a list", ""),
    ("strategy = [3]", "has strategy.1 = 3; it should be a table", ""),
    (BASE.replace("timeframe =", "timefram =", 1), "has the setting 'strategy.1.timefram'; ", 'mean "timeframe"?'),
    (BASE.replace('timeframe = "4h"\n', ""), "has no strategy.2.timeframe, which is needed: of the candles", ""),
    (BASE.replace('"4h"', '"4hours"'), 'has strategy.2.timeframe = "4hours"; ', 'Did you mean "4h"?'),
    (BASE.replace('"gateio"', '"gate io"'), "has strategy.2.exchange = ", "letters and digits"),
    (BASE.replace('"ETH/USDT"', '"ETHUSDT"'), "has strategy.1.markets = ", "was 'ETHUSDT'"),
    (BASE.replace('"ETH/USDT"', '"BTC/USDT"'), "has strategy.1.markets = ", "BTC/USDT stands twice"),
    (BASE.replace('["BTC/USDT:USDT"]', "[]"), "has strategy.2.markets = []; it needs at least one", ""),
    (BASE.replace('["BTC/USDT:USDT"]', '"BTC/USDT"'), "has strategy.2.markets = ", "a list, such as"),
    ("=", "are no TOML: ", "line 1"),
]


@pytest.mark.parametrize(("text", "begins", "ends"), WRONG, ids=[row[1][:40] for row in WRONG])
def test_a_wrong_setting_is_named_with_file_key_and_value(file: Path, text: str, begins: str, ends: str) -> None:
    file.write_text(text)
    with pytest.raises(InvalidSettingError) as caught:
        LiveSettings.load(file)
    sentence = str(caught.value)
    assert sentence.removeprefix("the settings ").startswith(f"{file} {begins}")
    assert ends in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("BACKTEST_LIMITS__PER_MINUTE", "x", 'the variable BACKTEST_LIMITS__PER_MINUTE has limits.per_minute = "x"; '),
        (
            "BACKTEST_LIMITS__PER_MINUT",
            "3",
            "the variable BACKTEST_LIMITS__PER_MINUT has the setting 'limits.per_minut'",
        ),
        ("BACKTEST_LIMITS", '{"tries": 0}', "the variable BACKTEST_LIMITS has limits.tries = 0; "),
        ("BACKTEST_STRATEGY", "{", "the environment cannot be read: "),
    ],
)
def test_a_wrong_variable_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettingError) as caught:
        LiveSettings.load(file)
    assert str(caught.value).startswith(sentence)


def test_a_wrong_flag_is_the_command_lines(file: Path) -> None:
    strategy: dict[str, Any] = {"file": "a.py", "exchange": "x", "markets": ["BTC"], "timeframe": "1h"}
    for flags in ({"limits": {"per_minute": 0}}, {"strategy": [strategy]}):
        for path in (file, None):
            with pytest.raises(InvalidSettingError, match="the command line has "):
                LiveSettings.load(path, flags)


@pytest.mark.parametrize("name", ["api_secret", "ANNY_API_SECRET", "api-key", "token", "password"])
@pytest.mark.parametrize("place", ["{}", "[account]\n{}", "[[strategy]]\nparameters = {{ {} }}"])
def test_a_secret_in_the_file_is_refused_and_never_shown(file: Path, name: str, place: str) -> None:
    file.write_text(place.format(f'{name} = "c2VjcmV0"'))
    with pytest.raises(
        InvalidSettingError, match=rf"^{name} stands in .*live\.toml; a secret belongs into the"
    ) as caught:
        LiveSettings.load(file)
    assert "c2VjcmV0" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_text(file: Path) -> None:
    with pytest.raises(InvalidSettingError, match=r"none\.toml cannot be read: No such file"):
        LiveSettings.load(file.with_name("none.toml"))
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidSettingError, match="are no TOML: "):
        LiveSettings.load(file)
