"""What the server loads once from which the processes of the kill tests are forked: their room, and the compiled engine."""

from __future__ import annotations

from backtest.engine.warm import warm
from tests import kill_room

__all__ = ["kill_room"]

warm()
