"""What a signal channel really posted, read into a call log; what cannot be read for certain is refused with its reason."""

from __future__ import annotations

__all__: list[str] = []
