"""Outlets: venues that take a signal as text or as JSON of their own, and say little or nothing back."""

from __future__ import annotations

__all__: list[str] = []
