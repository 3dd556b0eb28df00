"""Policy: what a page of ours allows itself, as its Content-Security-Policy says it."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["policy_of"]


def policy_of(style: str, code: Sequence[str] = ()) -> str:
    """Return what a page allows itself: its own style and scripts, by their hashes, and nothing from elsewhere.

    Parameters
    ----------
    style
        Text of its style sheet.
    code
        Text of each script; none: no script runs.
    """
    scripts = f"script-src {' '.join(map(_hashed, code))}; " if code else ""
    return (
        f"default-src 'none'; {scripts}style-src {_hashed(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hashed(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
