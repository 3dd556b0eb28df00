"""JSON files that users write: read whole, or refused in one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_json"]


def read_json(path: Path, what: str) -> Any:
    """Return what a JSON file holds.

    Parameters
    ----------
    path
        The file, UTF-8.
    what
        What it is to the user, ``"profile"``; it begins every refusal.

    Raises
    ------
    InvalidSettingError
        Where there is no such file, where it is no JSON, or where one object gives a key twice, of which a reader would
        silently take the last.
    """
    try:
        return json.loads(path.read_text("utf-8"), object_pairs_hook=_no_twins)
    except InvalidSettingError as error:
        raise InvalidSettingError(f"{what} {path}: {error}") from None
    except FileNotFoundError:
        raise InvalidSettingError(f"there is no {what} file {path}") from None
    except OSError as error:
        raise InvalidSettingError(f"{what} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidSettingError(f"{what} {path} cannot be read: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidSettingError(f"{what} {path} is no JSON: {error}") from None


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in found if names.count(name) > 1)
        raise InvalidSettingError(f"key {twin!r} stands twice in one object; give it once")
    return found
