"""Settings of an outlet: ``venue.toml``, and its secrets, which never stand in a file."""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.model.validation import first_fault
from backtest.venue.credentials import is_loopback, refuse_secrets
from backtest.venue.outlet.carried import Carries
from backtest.venue.outlet.cornix import CORNIX, PER_MINUTE
from backtest.venue.redaction import Redactor
from backtest.venue.webhook import parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["SECRET", "URL", "OutletSecrets", "OutletSettings", "read_outlet"]

URL, SECRET = "BACKTEST_VENUE_URL", "BACKTEST_VENUE_SECRET"

_CONFIRMABLE: dict[str, tuple[str, ...]] = {
    "cornix": (),
    "3commas": ("order", "take_profit", "stop_loss"),
    "traderspost": ("absolute_exits",),
    "json": (),
}
_NEEDED: dict[str, tuple[str, ...]] = {"cornix": ("chat_id",), "3commas": ("bot_uuid",), "traderspost": (), "json": ()}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CarriesSettings(_Section):
    """``[carries]``: what a template of one's own says of a signal; see :class:`Carries`."""

    entries: int = Field(0, ge=0, le=3, description="most entry prices; 0: it buys at the market")
    zone: bool = Field(default=False, description="whether two prices may be a range")
    targets: int = Field(0, ge=0, le=6)
    stop: bool = False
    ttl: bool = False
    leverage: bool = False
    margin: bool = False
    invest: float | None = Field(None, gt=0.0, le=100.0, description="most percent; none: the other side decides")
    exits: bool = Field(default=False, description="whether a signal can be ended")
    stops: bool = Field(default=False, description="whether its stop can be moved")
    of_fill: bool = Field(default=False, description="whether targets and stop are percent of the fill")


class AnswerSettings(_Section):
    """``[answer]``: what of the answer counts, as names with dots: ``result.message_id``."""

    id: str = Field("", description="where the other side's name of the signal stands; none: it has none")
    success: str = Field("", description="what must be true in it; none: any 2xx is taken for accepted")


class RepliesSettings(_Section):
    """``[replies]``: the words that the Cornix bot takes in an answer, once a person has confirmed them; none: not sent."""

    cancel: str = Field("", max_length=200)
    stop: str = Field("", max_length=200, description="with {stop} for the price")


class OutletSettings(_Section):
    """What a person says about an outlet."""

    name: str = Field(min_length=1, max_length=60)
    kind: Literal["cornix", "3commas", "traderspost", "json"]
    template: str = Field("", description="file of a template of one's own, of kind json")
    per_minute: Annotated[int, Field(ge=1, le=600)] | None = None
    max_lag: int = Field(300, ge=5, le=86_400, description="seconds after a close within which a call may still come")
    confirmed: tuple[str, ...] = Field((), description="what a person has tried at the venue")
    allow_unprotected: bool = Field(default=False, description="send although nothing there ends a loss when this dies")
    values: dict[str, str] = Field(default_factory=dict, description="names for the template, no secret")
    carries: CarriesSettings | None = None
    answer: AnswerSettings | None = None
    replies: RepliesSettings = RepliesSettings()

    @model_validator(mode="after")
    def _whole(self) -> OutletSettings:
        own = self.kind == "json"
        if own != bool(self.template) or own != (self.carries is not None):
            raise ValueError("template and [carries] belong to kind json, which needs both")
        known = _CONFIRMABLE[self.kind]
        strange = next((one for one in self.confirmed if one not in known), None)
        if strange is not None:
            what = f"of kind {self.kind} a person can confirm {', '.join(known) or 'nothing'}"
            raise ValueError(f"{what}.{did_you_mean(strange, known)}")
        missing = [name for name in _NEEDED[self.kind] if name not in self.values]
        if missing:
            raise ValueError(f"kind {self.kind} needs {missing[0]} in [values]")
        if self.kind == "cornix" and (self.per_minute or 1) > PER_MINUTE:
            raise ValueError(f"the Cornix bot takes {PER_MINUTE} signals a minute")
        if self.replies != RepliesSettings() and self.kind != "cornix":
            raise ValueError("[replies] belong to kind cornix")
        if self.replies.stop and "{stop}" not in self.replies.stop:
            raise ValueError("replies.stop has {stop} where the price stands")
        return self

    @property
    def limit(self) -> int:
        """Most calls a minute."""
        return self.per_minute or PER_MINUTE

    @property
    def says(self) -> Carries:
        """What it can say of a signal."""
        if self.carries is not None:
            return Carries(**self.carries.model_dump())
        if self.kind == "cornix":
            return Carries(**{**_fields(CORNIX), "exits": bool(self.replies.cancel), "stops": bool(self.replies.stop)})
        if self.kind == "traderspost":
            return Carries(
                entries=1, zone=False, targets=1, stop=True, exits=True, of_fill="absolute_exits" not in self.confirmed
            )
        return Carries(
            entries=int("order" in self.confirmed),
            zone=False,
            targets=6 if "take_profit" in self.confirmed else 0,
            stop="stop_loss" in self.confirmed,
            invest=100.0 if "order" in self.confirmed else None,
            exits=True,
            of_fill=True,
        )

    @property
    def hears(self) -> AnswerSettings:
        """What of the answer counts."""
        if self.answer is not None:
            return self.answer
        return AnswerSettings(id="result.message_id", success="ok") if self.kind == "cornix" else AnswerSettings()


def _fields(carries: Carries) -> dict[str, Any]:
    return {name: getattr(carries, name) for name in Carries.__slots__}


@dataclass(frozen=True, slots=True)
class OutletSecrets:
    """Where an outlet takes messages, and the secret that stands in them.

    Attributes
    ----------
    url
        https, or http to this machine only; whoever knows it may post there.
    secret
        For templates, ``secret``; may be empty.
    """

    url: SecretStr
    secret: SecretStr

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None) -> OutletSecrets:
        """Read both from the environment.

        Raises
        ------
        InvalidSettingError
            Where there is no address, or one over which nothing secret may travel.
        """
        variables = os.environ if environment is None else environment
        url = variables.get(URL, "")
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            raise InvalidSettingError(f"the address in {URL} cannot be read; it is https://HOST/...") from None
        if (
            parts.scheme not in {"https", "http"}
            or not host
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise InvalidSettingError(
                f"{URL} holds the address of the venue, https://HOST/...; it is not set, or holds none"
            )
        if parts.scheme == "http" and not is_loopback(host):
            raise InvalidSettingError(f"the venue at {host} is plain http; a secret address travels over https")
        return cls(SecretStr(url), SecretStr(variables.get(SECRET, "")))

    @property
    def base_url(self) -> str:
        """For people: the host alone, as the rest of the address is secret."""
        return urlsplit(self.url.get_secret_value()).hostname or ""

    @property
    def is_local(self) -> bool:
        """Whether the venue runs on this machine."""
        return is_loopback(self.base_url)

    @property
    def redactor(self) -> Redactor:
        """What takes the address, its parts and the secret out of any text."""
        known = [self.secret] if self.secret.get_secret_value() else []
        return Redactor([*known, *parts_of(self.url.get_secret_value())])

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the hash of both: tells outlets apart without naming them."""
        text = f"{self.url.get_secret_value()} {self.secret.get_secret_value()}"
        return hashlib.sha256(b"outlet " + text.encode()).hexdigest()[:16]


def read_outlet(path: Path) -> tuple[OutletSettings, str]:
    """Return the settings of a ``venue.toml``, and the text of its own template, if it has one.

    Raises
    ------
    InvalidSettingError
        Where it cannot be read, holds a secret, or has a setting that there is not.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidSettingError(f"the venue {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidSettingError(f"the venue {path} is no TOML: {error}") from None
    refuse_secrets(values, str(path))
    for name in values:
        if name not in OutletSettings.model_fields:
            known = tuple(OutletSettings.model_fields)
            raise InvalidSettingError(
                f"the venue {path} has the setting {name!r}; it knows {', '.join(known)}.{did_you_mean(name, known)}"
            )
    try:
        found = OutletSettings(**values)
    except ValidationError as error:
        name, fault = first_fault(error)
        raise InvalidSettingError(f"the venue {path}: {name or 'it'} {_plain(fault)}") from None
    if not found.template:
        return found, ""
    try:
        return found, (path.parent / found.template).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettingError(f"the template {path.parent / found.template} cannot be read: {error}") from None


def _plain(fault: str) -> str:
    """Return what is wrong without the whole table that it is wrong in."""
    return fault.rpartition("}: ")[2] if fault.startswith("was {") else fault
