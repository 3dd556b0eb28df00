"""Endpoints: one typed method for each of the eight, whatever sends the request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from backtest.errors import InvalidSignalError
from backtest.wire.request import endpoint_of

if TYPE_CHECKING:
    from backtest.model.calls import Call, Cancel, CreateSignal, Dca, Rebuy, TakeProfit, TrailingStop, UpdatePrices
    from backtest.wire.request import Request

__all__ = ["Endpoints", "Sent"]

Sent = TypeVar("Sent")


class Endpoints(ABC, Generic[Sent]):
    """The Signal API as methods; :meth:`send` says what becomes of a request.

    Every method takes the call, and all but the creates the venue's name of the signal. Each may raise an
    :class:`InvalidSignalError` before anything is sent, and the errors of :meth:`send`.
    """

    @abstractmethod
    def send(self, request: Request) -> Sent:
        """Send one request, once."""

    def perform(self, call: Call, parent_signal_id: str | None = None) -> Sent:
        """Send any call; ``parent_signal_id`` for all but a create."""
        return self.send(endpoint_of(call, parent_signal_id))

    def create_v1(self, signal: CreateSignal) -> Sent:
        """``POST /v1/signal``: a range entry and up to six targets."""
        return self._create(signal, 1)

    def create_v2(self, signal: CreateSignal) -> Sent:
        """``POST /v2/signal``: leverage, split entry and up to five targets."""
        return self._create(signal, 2)

    def take_profit(self, call: TakeProfit, parent_signal_id: str) -> Sent:
        """``POST .../call/takeprofit``."""
        return self.perform(call, parent_signal_id)

    def trailing_stop(self, call: TrailingStop, parent_signal_id: str) -> Sent:
        """``POST .../call/trailingstop``."""
        return self.perform(call, parent_signal_id)

    def rebuy(self, call: Rebuy, parent_signal_id: str) -> Sent:
        """``POST .../call/rebuy``."""
        return self.perform(call, parent_signal_id)

    def dca(self, call: Dca, parent_signal_id: str) -> Sent:
        """``POST .../call/dca``."""
        return self.perform(call, parent_signal_id)

    def update_prices(self, call: UpdatePrices, parent_signal_id: str) -> Sent:
        """``PUT .../updateprice``: may be repeated."""
        return self.perform(call, parent_signal_id)

    def cancel(self, call: Cancel, parent_signal_id: str) -> Sent:
        """``DELETE .../cancel``: may be repeated."""
        return self.perform(call, parent_signal_id)

    def _create(self, signal: CreateSignal, version: int) -> Sent:
        if signal.version != version:
            raise InvalidSignalError(f"version of this create is {version}, was {signal.version}", "version")
        return self.perform(signal)
