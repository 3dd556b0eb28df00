"""Text of posts: Jinja templates of the provider or ours, in which everything that a channel reads as markup is escaped."""

from __future__ import annotations

import html
import re
import unicodedata
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, DictLoader, FunctionLoader, StrictUndefined, TemplateError, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from backtest.live.settings import PostSettings

__all__ = ["KINDS", "PostText", "escaper"]

KINDS = ("signal", "update", "result")
"""Kinds of posts, and of their templates."""
_MARKDOWN = re.compile(r"([_*\[\]()~`>#+\-=|{}.!\\])")
_MOST = 4000
"""Characters of a post; Telegram takes 4096."""


def escaper(markup: str) -> Callable[[str], str]:
    """Return what takes the meaning out of markup in a text that comes from elsewhere.

    Parameters
    ----------
    markup
        ``plain``, ``markdown`` or ``html``.
    """
    after: dict[str, Callable[[str], str]] = {
        "plain": str,
        "markdown": lambda text: _MARKDOWN.sub(r"\\\1", text),
        "html": lambda text: html.escape(text, quote=True),
    }
    escape = after[markup]
    return lambda text: escape("".join(each for each in text if each == "\n" or unicodedata.category(each)[0] != "C"))


class PostText:
    """Makes the text of posts.

    Parameters
    ----------
    settings
        Where the templates are, and what the channel takes for markup.

    Raises
    ------
    InvalidSettingError
        For a template that cannot be read or fails on a post like those that will come: with its file and line.
    """

    def __init__(self, settings: PostSettings) -> None:
        escape = escaper(settings.markup)
        ours = DictLoader({f"{kind}.txt": _own(kind) for kind in KINDS})
        self._folder = settings.templates
        if self._folder is not None and not self._folder.is_dir():
            raise InvalidSettingError(f"posts.templates is a folder with signal.txt and so on, was {self._folder}")
        options: dict[str, Any] = {
            "finalize": lambda value: escape("" if value is None else str(value)),
            "undefined": StrictUndefined,
            "trim_blocks": True,
            "lstrip_blocks": True,
        }
        self._own = ImmutableSandboxedEnvironment(loader=ours, **options)
        theirs = FunctionLoader(self._read)
        self._environment = ImmutableSandboxedEnvironment(loader=ChoiceLoader([theirs, ours]), **options)
        for kind in KINDS:
            for example in _EXAMPLES[kind]:
                self._render(self._environment, kind, example)

    def of(self, kind: str, values: Mapping[str, Any]) -> tuple[str, str]:
        """Return the text of a post, and why the provider's template was not used for it; empty where it was.

        Parameters
        ----------
        kind
            One of :data:`KINDS`.
        values
            What the template may name.
        """
        try:
            return self._render(self._environment, kind, values), ""
        except InvalidSettingError as error:
            return self._render(self._own, kind, values), str(error)

    def _read(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        path = None if self._folder is None else self._folder / name
        if path is None or not path.exists():
            return None
        try:
            return path.read_text("utf-8"), str(path), lambda: True
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidSettingError(f"the template {path} cannot be read: {type(error).__name__}") from None

    def _render(self, environment: ImmutableSandboxedEnvironment, kind: str, values: Mapping[str, Any]) -> str:
        name = f"{kind}.txt"
        try:
            text = environment.get_template(name).render(**values)
        except TemplateSyntaxError as error:
            raise InvalidSettingError(f"{error.filename or name} line {error.lineno}: {error.message}") from None
        except InvalidSettingError:
            raise
        except (
            TemplateError,
            ArithmeticError,
            ValueError,
            TypeError,
            LookupError,
            AttributeError,
            RecursionError,
        ) as error:
            where = self._line(error, name)
            raise InvalidSettingError(
                f"{where}: {str(error) or type(error).__name__}; it is told {', '.join(sorted(values))}"
            ) from None
        text = re.sub(r"\n{3,}", "\n\n", text).strip()
        if not text:
            raise InvalidSettingError(f"{self._path(name)} makes an empty post")
        return text if len(text) <= _MOST else f"{text[: _MOST - 1]}…"

    def _path(self, name: str) -> str:
        path = None if self._folder is None else self._folder / name
        return name if path is None or not path.exists() else str(path)

    def _line(self, error: BaseException, name: str) -> str:
        """Return file and line of a template in which an error was raised."""
        path, line, trace = self._path(name), 0, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == path:
                line = trace.tb_lineno
            trace = trace.tb_next
        return f"{path} line {line}" if line else path


def _own(kind: str) -> str:
    return (files("backtest.live") / "post_templates" / f"{kind}.txt").read_text("utf-8")


_COMMON: dict[str, Any] = {
    "side": "long",
    "symbol": "BTC/USDT",
    "coin": "BTC",
    "trade_market": "USDT",
    "exchange": "BINANCE",
    "decided": "2024-01-31 12:00",
    "sent": "2024-01-31 12:00:01",
    "tag": "ref:0123456789ab",
    "venue_id": "abc123",
    "head": "0" * 64,
    "image_url": "https://channel.example/0123456789ab.png",
}
_SIGNAL = {
    "entry": "41000 to 42000",
    "targets": ["43000", "44000"],
    "stop": "40000",
    "invest": "10",
    "leverage": "3",
    "account": "FUTURES",
    "ttl": "4 h",
    "note": "A new high",
}
_UPDATE = {"what": "stop moved to 41000", "call": "updateprice", "changes": ["stop loss 40000 became 41000"]}
_RESULT = {
    "status": "closed",
    "gain": "+1.09 %",
    "of_capital": "+0.11 %",
    "pnl": "10.89",
    "won": True,
    "average_entry": "41500",
    "fills": ["2024-02-01 08:00 target 1 at 43000"],
    "lasted": "1 d 4 h",
}
_NONE = {"head": "", "image_url": "", "venue_id": ""}
_EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "signal": [
        {**_COMMON, **_SIGNAL},
        {
            **_COMMON,
            **_NONE,
            **_SIGNAL,
            "stop": "",
            "leverage": "",
            "account": "",
            "ttl": "",
            "note": "",
            "targets": ["43000"],
        },
    ],
    "update": [{**_COMMON, **_UPDATE}, {**_COMMON, **_NONE, **_UPDATE, "changes": []}],
    "result": [
        {**_COMMON, **_RESULT},
        {**_COMMON, **_NONE, **_RESULT, "status": "expired", "gain": "", "of_capital": "", "pnl": "", "won": False}
        | {"average_entry": "", "fills": [], "lasted": ""},
    ],
}
"""Posts like those that will come, with everything and with nothing that may be absent: each template is tried on them."""
