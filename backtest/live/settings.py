"""Settings: what a provider may choose about emission, from a TOML file, the environment and flags; never a secret."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, InitSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.live.feed_settings import FeedSettings
from backtest.live.notices import NoticeKind
from backtest.market_data.series import Series, exchange_name
from backtest.model.market import Market
from backtest.venue.credentials import refuse_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic_core import ErrorDetails
    from pydantic_settings import PydanticBaseSettingsSource

__all__ = ["AccountSettings", "AlertSettings", "EmitSettings", "LiveSettings", "PostSettings", "StrategySettings"]

_PREFIX, _DEEPER = "BACKTEST_", "__"
_RULES = {
    "tuple_type": 'it should be a list, such as ["BTC/USDT"]',
    "too_short": "it needs at least one",
    "model_type": "it should be a table",
    "dict_type": "it should be a table",
}
_SHOWN = 80
"""Characters of a wrong value that a sentence repeats."""
_Made = TypeVar("_Made")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountSettings(_Section):
    """``[account]``: which account is meant, and where its calls are kept. Its two secrets never stand here."""

    fingerprint: str | None = Field(None, description="of the account that is meant; live emission asks for it")
    journal: Path = Field(Path("emit.sqlite"), description="SQLite file with every call and what became of it")
    secret_file: Path | None = Field(None, description="file of mode 0600 that holds the two secrets")


class EmitSettings(_Section):
    """``[limits]``: limits and waits of the emitter."""

    per_minute: int = Field(8, ge=1, description="calls a minute; the venue's least plan allows 10")
    most_unknowns: int = Field(3, ge=0, description="more than these halt new entries everywhere")
    tries: int = Field(6, ge=1, description="tries at a price update or cancel whose outcome stays unknown")
    backoff_first: float = Field(0.5, gt=0.0, le=60.0, description="seconds before a second try")
    backoff_most: float = Field(30.0, gt=0.0, le=3600.0, description="seconds between tries, at most")
    patience: float = Field(1.0, ge=0.0, le=60.0, description="seconds that an entry waits for exits decided before it")
    creates_a_minute: int | None = Field(None, ge=0, description="most creates of the closes of one minute")
    creates_a_day: int | None = Field(None, ge=0, description="most creates a UTC day")
    open_a_symbol: int | None = Field(None, ge=0, description="most signals open on one symbol")
    open_signals: int | None = Field(None, ge=0, description="most signals open")
    most_away: float = Field(0.5, gt=0.0, description="most that an entry price may be off the last close, a fraction")
    allow_no_stop: bool = Field(default=False, description="emit creates without stop_loss live, against all advice")

    @property
    def hash(self) -> str:
        """SHA-256 of all of them, for the journal."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


class AlertSettings(_Section):
    """``[alerts]``: what a person is told, and how often; where to is a secret, in ``BACKTEST_ALERT_URL``."""

    again_after: float = Field(3600.0, ge=0.0, description="seconds before the same alarm is told again")
    leave_out: tuple[NoticeKind, ...] = Field((), description="kinds of notices that are no alarm: started, summary")
    drift: float = Field(0.1, ge=0.0, le=1.0, description="share of a day's calls not sent as decided that alarms")


class PostSettings(_Section):
    """``[posts]``: what subscribers read; where to, besides a folder, is a secret, in ``BACKTEST_POST_URL``."""

    folder: Path | None = Field(None, description="where texts and pictures are written")
    attachments_url: str = Field("", description="https address at which the folder's pictures will be")
    templates: Path | None = Field(
        None, description="folder with signal.txt, update.txt, result.txt; what it lacks is ours"
    )
    markup: Literal["plain", "markdown", "html"] = Field("plain", description="what the channel makes of *, _ or <")
    pictures: bool = Field(default=True, description="draw a picture of each signal and of its end")
    record: Path | None = Field(None, description="track record, kept up to date; its head stands in each post")

    @field_validator("attachments_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        return _spoken(lambda text: Market("A/B", attachments_url=text).attachments_url, url)


class StrategySettings(_Section):
    """``[[strategy]]``: one strategy on markets of one exchange and one timeframe."""

    file: str = Field(description="FILE.py or FILE.py:Class")
    parameters: dict[str, Any] = Field(default_factory=dict, description="of the strategy")
    exchange: str = Field(description="as ccxt names it: binance")
    markets: tuple[str, ...] = Field(min_length=1, description="BASE/QUOTE, each once")
    timeframe: str = Field(description="of the candles that it decides on: 1h")
    profile: str = Field("anny", description="subscriber for whom it is judged: anny, exchange or a JSON file")

    @field_validator("exchange")
    @classmethod
    def _is_a_name(cls, exchange: str) -> str:
        return _spoken(exchange_name, exchange)

    @field_validator("timeframe")
    @classmethod
    def _is_a_span(cls, timeframe: str) -> str:
        return _spoken(Series, "any", "A/B", timeframe).timeframe

    @field_validator("markets")
    @classmethod
    def _are_pairs(cls, markets: tuple[str, ...]) -> tuple[str, ...]:
        for market in markets:
            _spoken(Series, "any", market, "1h")
            if markets.count(market) > 1:
                raise ValueError(f"{market} stands twice")
        return markets

    @property
    def series(self) -> tuple[Series, ...]:
        """The series of candles that it decides on, in the order of its markets."""
        return tuple(Series(self.exchange, market, self.timeframe) for market in self.markets)


class LiveSettings(BaseSettings):
    """All settings of live emission and its rehearsal: one schema for a TOML file, the environment and flags.

    A flag goes before a variable, a variable before the file. ``per_minute`` of ``[limits]`` is the variable
    ``BACKTEST_LIMITS__PER_MINUTE``; ``BACKTEST_STRATEGY`` holds a JSON list. Relative paths in the file begin at its
    folder, all others at the folder of the process. The secrets, ``ANNY_BASE_URL`` and ``ANNY_PAPER_TOKEN`` are no
    settings and stay in the environment.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=_PREFIX,
        env_nested_delimiter=_DEEPER,
        nested_model_default_partial_update=True,
    )

    account: AccountSettings = AccountSettings()
    limits: EmitSettings = EmitSettings()
    alerts: AlertSettings = AlertSettings()
    posts: PostSettings = PostSettings()
    feed: FeedSettings = FeedSettings()
    strategy: tuple[StrategySettings, ...] = ()

    @classmethod
    def load(cls, path: Path | None = None, flags: Mapping[str, Any] | None = None) -> LiveSettings:
        """Read the settings.

        Parameters
        ----------
        path
            TOML file; None for none.
        flags
            What the command line says, as sections: ``{"limits": {"per_minute": 20}}``. What is None was not said.

        Raises
        ------
        InvalidSettingError
            For a file that cannot be read, a secret in it, or an unknown or wrong setting; with the file or variable, the
            key, the value, and the nearest name that is known.
        """
        said = {name: _given(section) for name, section in (flags or {}).items() if _given(section)}
        found = {} if path is None else _read(path)

        class Sourced(cls):  # type: ignore[misc, valid-type]  # pydantic-settings takes its sources from the class
            @classmethod
            def settings_customise_sources(
                cls,
                settings_cls: type[BaseSettings],
                init_settings: PydanticBaseSettingsSource,
                env_settings: PydanticBaseSettingsSource,
                **_: PydanticBaseSettingsSource,
            ) -> tuple[PydanticBaseSettingsSource, ...]:
                return init_settings, env_settings, InitSettingsSource(settings_cls, found)

        try:
            return LiveSettings.model_construct(**dict(Sourced(**said)))
        except SettingsError as error:
            raise InvalidSettingError(
                f"the environment cannot be read: {error}; a list or table is JSON there"
            ) from None
        except ValidationError as error:
            unknown_first = sorted(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
            raise InvalidSettingError(_sentence(cls, unknown_first[0], path, said)) from None


def _given(section: Any) -> Any:
    """Return what was said: a section without the flags that were left out."""
    return {k: v for k, v in section.items() if v is not None} if isinstance(section, dict) else section


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidSettingError(f"the settings {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettingError(f"the settings {path} are no TOML: {error}") from None
    refuse_secrets(found, str(path))
    _anchor(found.get("account"), path.parent, ("journal", "secret_file"))
    _anchor(found.get("posts"), path.parent, ("folder", "templates", "record"))
    strategies = found.get("strategy")
    for each in strategies if isinstance(strategies, list) else ():
        _anchor(each, path.parent, ("file", "profile"))
    return found


def _anchor(section: Any, folder: Path, names: Sequence[str]) -> None:
    """Let relative paths begin at the folder of the file that names them."""
    for name in names:
        text = section.get(name) if isinstance(section, dict) else None
        if isinstance(text, str) and (name != "profile" or text.endswith(".json")):
            section[name] = str(folder / text)


def _sentence(cls: type[BaseModel], error: ErrorDetails, path: Path | None, said: Mapping[str, Any]) -> str:
    """Say which setting is wrong: where it stands, its key, its value, the rule."""
    loc = error["loc"]
    where = _place(loc, path, said)
    key = ".".join(str(part + 1) if isinstance(part, int) else part for part in loc)
    if error["type"] == "extra_forbidden":
        owner, known = key.rpartition(".")[0], _known(cls, loc[:-1])
        near = did_you_mean(str(loc[-1]), known)
        secret = " The address that alarms go to is a secret: BACKTEST_ALERT_URL." if owner == "alerts" else ""
        return f"{where} has the setting {key!r}; {owner or 'it'} knows {', '.join(known)}.{near}{secret}"
    if error["type"] == "missing":
        return f"{where} has no {key}, which is needed: {_described(cls, loc)}"
    given = error["input"]
    if error["type"] == "tuple_type" and isinstance(given, dict):
        return f"{where} has [{key}]; there may be several of it: write [[{key}]], with two brackets"
    rule = _RULES.get(error["type"]) or error["msg"].removeprefix("Value error, ").replace("Input", "it", 1)
    if isinstance(given, float) and math.isnan(given):  # a bound that it does not keep says nothing
        rule = "it should be a number"
    value = json.dumps(given, default=str)
    return f"{where} has {key} = {value if len(value) <= _SHOWN else f'{value[:_SHOWN]}...'}; {rule}"


def _place(loc: Sequence[int | str], path: Path | None, said: Mapping[str, Any]) -> str:
    """Return where a setting was read: the command line, a variable or the file."""
    inner: Any = said
    for part in loc:
        inner = inner.get(part) if isinstance(inner, dict) else None
    if inner is not None or (loc and loc[0] == "strategy" and "strategy" in said):
        return "the command line"
    for depth in range(len(loc), 0, -1):
        name = _PREFIX + _DEEPER.join(str(part) for part in loc[:depth]).upper()
        if name in os.environ:
            return f"the variable {name}"
    return str(path) if path is not None else "the command line"


def _model(cls: type[BaseModel], loc: Sequence[int | str]) -> type[BaseModel] | None:
    """Return the section that a path leads to."""
    found: type[BaseModel] | None = cls
    for part in loc:
        if isinstance(part, str) and found is not None:
            kind = found.model_fields[part].annotation if part in found.model_fields else None
            inner = [kind, *get_args(kind)]
            found = next((each for each in inner if isinstance(each, type) and issubclass(each, BaseModel)), None)
    return found


def _known(cls: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    section = _model(cls, loc)
    return list(section.model_fields) if section else []


def _described(cls: type[BaseModel], loc: Sequence[int | str]) -> str:
    section = _model(cls, loc[:-1])
    return (section.model_fields[str(loc[-1])].description or "") if section else ""


def _spoken(make: Callable[..., _Made], *values: str) -> _Made:
    """Return what is made of values; a sentence of ours becomes one of pydantic's, which adds where it stands."""
    try:
        return make(*values)
    except InvalidSettingError as error:
        raise ValueError(str(error)) from None
