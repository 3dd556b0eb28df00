"""Template: a call as the JSON of an outlet, made by Jinja2 in its sandbox; what comes out must be JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backtest.errors import InvalidSettingError, InvalidSignalError
from backtest.model.calls import CreateSignal, UpdatePrices
from backtest.model.grid import decimal_text
from backtest.venue.outlet.cornix import cornix_text
from backtest.wire import tag_of

if TYPE_CHECKING:
    from backtest.model.calls import Call
    from backtest.venue.outlet.settings import OutletSettings

__all__ = ["OutletTemplate", "parent_of", "parts_of_parent"]

_LARGEST = 65_536
_DIGITS = 6
"""Decimals of a percent of the fill."""


class OutletTemplate:
    """Makes the message of a call.

    Parameters
    ----------
    settings
        Of the outlet.
    text
        Its own template; empty for the one of its kind.

    Raises
    ------
    InvalidSettingError
        For a template that is none.
    """

    def __init__(self, settings: OutletSettings, text: str = "") -> None:
        self._settings = settings
        environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
        if not text:
            text = resources.files(__package__).joinpath("templates", f"{settings.kind}.json.j2").read_text("utf-8")
        try:
            self._template = environment.from_string(text)
        except TemplateError as error:
            raise InvalidSettingError(f"the template of {settings.name} cannot be read: {error}") from None

    def message(self, call: Call, parent: str, at: int, secret: str = "") -> bytes:
        """Return the JSON of a call.

        Parameters
        ----------
        call
            As the outlet can say it, :func:`backtest.venue.outlet.carried.carry`.
        parent
            The other side's name of the signal, or ours where it has none; empty for a create.
        at
            When it was decided, UTC ms.
        secret
            That stands in the message.

        Raises
        ------
        InvalidSignalError
            Where the template has no value for it, or what it makes is no JSON object.
        """
        given = self._given(call, parent, at) | {"secret": secret}
        try:
            found = json.loads(self._template.render(given), parse_constant=_refused)
        except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError, IndexError) as error:
            what = str(error).replace(secret, "[redacted]") if secret else str(error)
            raise InvalidSignalError(f"the template of {self._settings.name} makes no JSON of it: {what}") from None
        if not isinstance(found, dict):
            raise InvalidSignalError(f"the template of {self._settings.name} makes no JSON object")
        body = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
        if len(body) > _LARGEST:
            raise InvalidSignalError(f"the template of {self._settings.name} makes {len(body):,} bytes of it")
        return body

    def _given(self, call: Call, parent: str, at: int) -> dict[str, Any]:
        """Return what a template may use."""
        settings = self._settings
        moment = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        common = {
            "creates": isinstance(call, CreateSignal),
            "confirmed": settings.confirmed,
            "values": settings.values,
            "max_lag": settings.max_lag,
            "time": moment,
            "parent": parent,
        }
        if isinstance(call, CreateSignal):
            return common | _of_create(call) | {"text": cornix_text(call) if settings.kind == "cornix" else ""}
        if settings.kind == "cornix":
            return common | {"text": self._reply(call)}
        coin, quote, exchange, side = parts_of_parent(parent)
        stop = getattr(call, "stop_loss", None)
        moved = {"kind": "stop" if isinstance(call, UpdatePrices) else "exit", "stop": stop and decimal_text(stop)}
        return common | {"coin": coin, "quote": quote, "exchange": exchange, "side": side, **moved}

    def _reply(self, call: Call) -> str:
        replies = self._settings.replies
        if isinstance(call, UpdatePrices):
            return replies.stop.replace("{stop}", decimal_text(call.stop_loss or 0.0))
        return replies.cancel


def _of_create(create: CreateSignal) -> dict[str, Any]:
    """Return the values of a create: prices as decimal text, percent of the near bound as numbers."""
    near, side = create.near_bound, create.side
    targets = [price for price in create.targets if price is not None]
    bounds = sorted({create.near_bound, create.far_bound})
    share = round(100.0 / len(targets), 2)
    return {
        "kind": "create",
        "coin": create.coin,
        "quote": create.trade_market,
        "exchange": create.exchange,
        "side": "long" if side > 0 else "short",
        "entry": decimal_text(near),
        "entry_low": decimal_text(bounds[0]),
        "entry_high": decimal_text(bounds[-1]),
        "targets": [decimal_text(price) for price in targets],
        "target_percents": [_percent(side * (price / near - 1.0)) for price in targets],
        "shares": [share] * (len(targets) - 1) + [round(100.0 - share * (len(targets) - 1), 2)],
        "stop": None if create.stop_loss is None else decimal_text(create.stop_loss),
        "stop_percent": None if create.stop_loss is None else _percent(side * (1.0 - create.stop_loss / near)),
        "invest": decimal_text(create.invest or 0.0),
        "leverage": decimal_text(create.leverage or 1.0),
        "margin": create.margin_type or "ISOLATED",
        "account": create.account or "SPOT",
        "ttl": create.ttl_buy_order,
        "tag": tag_of(create.attachment_description) or "",
    }


def _percent(fraction: float) -> str:
    return decimal_text(round(100.0 * fraction, _DIGITS))


def _refused(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def parent_of(create: CreateSignal, own: str) -> str:
    """Return our name of a signal at an outlet that gives none: all that its end needs to know.

    Parameters
    ----------
    create
        As sent.
    own
        What tells it from others: its tag, or the hash of its body.
    """
    return "~".join((create.coin, create.trade_market, create.exchange, create.type or "long", own))


def parts_of_parent(parent: str) -> tuple[str, str, str, str]:
    """Return coin, quote asset, exchange and side of a name of ours.

    Raises
    ------
    InvalidSignalError
        For a name that is none of ours.
    """
    parts = parent.split("~")
    if len(parts) != 5 or parts[3] not in {"long", "short"}:
        raise InvalidSignalError(f"{parent!r} is no name that this outlet gave a signal", "parent_signal_id")
    return parts[0], parts[1], parts[2], parts[3]
