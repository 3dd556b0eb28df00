"""Settings: what a provider may choose about emission; secrets are not among it."""

from __future__ import annotations

import hashlib
import json
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.venue.credentials import refuse_secrets

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EmitSettings"]


class EmitSettings(BaseModel):
    """Limits and waits of the emitter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_minute: int = Field(8, ge=1, description="calls a minute; the venue's least plan allows 10")
    most_unknowns: int = Field(3, ge=0, description="more than these halt new entries everywhere")
    tries: int = Field(6, ge=1, description="tries at a price update or cancel whose outcome stays unknown")
    backoff_first: float = Field(0.5, gt=0.0, le=60.0, description="seconds before a second try")
    backoff_most: float = Field(30.0, gt=0.0, le=3600.0, description="seconds between tries, at most")
    allow_no_stop: bool = Field(default=False, description="emit creates without stop_loss live, against all advice")

    @classmethod
    def load(cls, path: Path | None, **changes: Any) -> EmitSettings:
        """Read a TOML or JSON file; ``changes`` that are not None take precedence.

        Raises
        ------
        InvalidSettingError
            For a file that cannot be read, an unknown or wrong setting, or a secret in it.
        """
        found = {} if path is None else _read(path)
        refuse_secrets(found, str(path))
        for name in found:
            if name not in cls.model_fields:
                known = f"it knows {', '.join(cls.model_fields)}.{did_you_mean(name, cls.model_fields)}"
                raise InvalidSettingError(f"{path} has the setting {name!r}; {known}")
        try:
            return cls(**{**found, **{name: value for name, value in changes.items() if value is not None}})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidSettingError(f"setting {where} was {first['input']!r}: {first['msg']}") from None

    @property
    def hash(self) -> str:
        """SHA-256 of all settings, for the journal."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InvalidSettingError(f"the settings {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettingError(f"the settings {path} are no {path.suffix[1:].upper() or 'TOML'}: {error}") from None
    if not isinstance(found, dict):
        raise InvalidSettingError(f"the settings {path} are names with values, was {type(found).__name__}")
    return found
