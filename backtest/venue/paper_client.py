"""PaperClient: the paper venue's own paths from the other side; plain HTTP on this machine, no secret of the vendor."""

from __future__ import annotations

import http.client
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import quote, urlsplit

from backtest.errors import InvalidSettingError, VenueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["PaperClient", "Taken"]


class Taken(NamedTuple):
    """What came of posting candles of a market.

    Attributes
    ----------
    new
        How many were new.
    clock
        Close time of the last one that the venue has of this market, UTC ms.
    """

    new: int
    clock: int


class _Connection(http.client.HTTPConnection):
    """Sends the head of a request together with its body, which wakes the venue once."""

    _held = b""

    def send(self, data: Any) -> None:
        """Hold what belongs to the request."""
        self._held += data

    def getresponse(self) -> http.client.HTTPResponse:
        """Send it, and read the answer."""
        whole, self._held = self._held, b""
        super().send(whole)
        return super().getresponse()

    def close(self) -> None:
        """Close, and forget what was never sent."""
        self._held = b""
        super().close()


class PaperClient:
    """Feeds candles to a paper venue and reads what came of the calls.

    Parameters
    ----------
    base_url
        ``http://127.0.0.1:8787``.
    token
        What the venue asks for outside the vendor's namespace, if anything.

    Every method raises :class:`VenueUnavailableError` where nobody answers, :class:`InvalidSettingError` where the
    venue refuses.
    """

    def __init__(self, base_url: str, token: str | None = None) -> None:
        parts = urlsplit(base_url)
        self.base_url = base_url
        self._connection = _Connection(parts.hostname or "", parts.port, timeout=120.0)
        self._headers = {"content-type": "application/json"} | ({"paper-token": token} if token else {})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def clock(self) -> dict[str, int]:
        """Return the close time of the last candle by symbol, UTC ms."""
        return cast("dict[str, int]", self._ask("GET", "/clock", name="clock")["clock"])

    def feed(
        self,
        market: dict[str, Any],
        timeframe: str,
        rows: Sequence[Sequence[float]],
        *,
        missing: Sequence[int] = (),
        volume_known: bool = True,
    ) -> Taken:
        """Post what is new of one market.

        Parameters
        ----------
        market, timeframe, rows, missing, volume_known
            As for :meth:`feed_instant`.
        """
        part = {"market": market, "rows": rows, "missing": list(missing), "volume_known": volume_known}
        return self.feed_instant(timeframe, [part])[market["symbol"]]

    def feed_instant(self, timeframe: str, parts: Sequence[dict[str, Any]]) -> dict[str, Taken]:
        """Post what is new of several markets at once, all or nothing; return what came of it by symbol.

        Parameters
        ----------
        timeframe
            Of all of them.
        parts
            ``market`` (as :meth:`Market.to_dict` has it), ``rows`` (time in UTC ms, open, high, low, close, volume),
            ``missing`` (opens of candles that do not exist), ``gone``, ``volume_known``; all but the market may be left
            out. An instant is walked once each market of its exchange and timeframe has, or misses, its candle.
        """
        found = self._ask("POST", "/candles", {"timeframe": timeframe, "markets": list(parts)}, name="clock")
        clock = {(row["symbol"], row["timeframe"]): row["clock"] for row in found["clock"]}
        return {symbol: Taken(new, clock[symbol, timeframe]) for symbol, new in found["new"].items()}

    def subscribe(
        self,
        name: str,
        profile: dict[str, Any],
        assumptions: dict[str, Any],
        *,
        place: tuple[str, str] | None = None,
        strategy: str = "",
    ) -> None:
        """Add a simulated account; doing it twice changes nothing.

        Parameters
        ----------
        name
            Of the subscriber.
        profile, assumptions
            On which signals are executed, as plain JSON.
        place
            Exchange, as signals name it, and timeframe; None takes those of the first candles.
        strategy
            Identity of the only strategy that it follows; empty follows all.
        """
        exchange, timeframe = place or ("", "")
        body = {"profile": profile, "assumptions": assumptions, "strategy": strategy}
        where = {"exchange": exchange, "timeframe": timeframe} if place else {}
        self._ask("PUT", f"/subscribers/{quote(name, safe='')}", {**body, **where})

    def effects(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the calls that took effect."""
        return cast("list[dict[str, Any]]", self._ask("GET", f"/ledger?after={after}", name="effects")["effects"])

    def received(self, after: int = 0) -> list[dict[str, Any]]:
        """Return every call that could be read, the refused ones too."""
        return cast("list[dict[str, Any]]", self._ask("GET", f"/received?after={after}", name="effects")["effects"])

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of an account."""
        return cast(
            "list[dict[str, Any]]",
            self._ask("GET", f"/subscribers/{quote(name, safe='')}/events", name="events")["events"],
        )

    def plan_faults(self, *faults: str) -> None:
        """Let the next calls meet faults."""
        self._ask("PUT", "/faults", {"plan": list(faults)})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None, *, name: str = "") -> dict[str, Any]:
        """Ask the venue; return what it answered, in which there is ``name``."""
        raw = None if body is None else json.dumps(body).encode()
        for last in (False, True):  # everything here may be repeated, and a kept connection may have ended
            try:
                self._connection.request(method, f"/paper{path}", raw, self._headers)
                answer = self._connection.getresponse()
                text = answer.read()
                break
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if last:
                    why = f"{self.base_url} ({type(error).__name__})"
                    raise VenueUnavailableError(f"no paper venue at {why}; start one: backtest venue") from None
        found = _read(answer.status, text)
        if found is None or name not in {"", *found}:
            shown = text[:60].decode("ascii", "replace")
            raise InvalidSettingError(
                f"at {self.base_url} is no paper venue of this version: it answered {shown!r}; name one in ANNY_BASE_URL, or "
                "leave that out"
            )
        return found


def _read(status: int, text: bytes) -> dict[str, Any] | None:
    """Return the object that was answered; None where it is none."""
    found: Any = None
    with suppress(ValueError):
        found = json.loads(text)
    if status != 200:
        payload = found.get("payload") if isinstance(found, dict) else None
        reason = payload.get("message") if isinstance(payload, dict) else None
        raise InvalidSettingError(f"the paper venue refused: {reason or f'status {status}'}")
    return found if isinstance(found, dict) else None
