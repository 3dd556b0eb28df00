"""Credentials: the two secrets of a Signal API account and the venue that they are shown to."""

from __future__ import annotations

import hashlib
import os
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

from backtest.errors import InvalidSettingError, did_you_mean
from backtest.venue.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_BASE_URL", "Credentials", "is_loopback", "refuse_secrets", "without_credentials"]

DEFAULT_BASE_URL = "https://api.anny.trade"
_KEY, _SECRET, _URL, _FILE = "ANNY_API_KEY", "ANNY_API_SECRET", "ANNY_BASE_URL", "ANNY_SECRET_FILE"
_MOST_BYTES = 65_536
_SECRET_NAMES = frozenset({"apikey", "apisecret", "annyapikey", "annyapisecret", "secret", "password", "token"})


class Credentials(BaseModel):
    """Who sends, and to where; shows neither secret in ``repr``, JSON or errors.

    Attributes
    ----------
    api_key, api_secret
        Values of the headers ``anny-api-key`` and ``anny-api-secret``.
    base_url
        HTTPS, or plain HTTP to this machine only; scheme, host and port, nothing else.

    Raises
    ------
    InvalidSettingError
        For a value that cannot be a header, or a URL over which a secret may not travel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    api_key: SecretStr
    api_secret: SecretStr
    base_url: str = DEFAULT_BASE_URL

    @field_validator("api_key", "api_secret")
    @classmethod
    def _fits_a_header(cls, secret: SecretStr) -> SecretStr:
        value = secret.get_secret_value()
        if not (value.isascii() and value.isprintable() and value and " " not in value):
            raise InvalidSettingError(
                f"a secret is printable ASCII without spaces and line breaks, that of {len(value)} characters is not; "
                f"check {_KEY} and {_SECRET}"
            )
        return secret

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        return _checked_url(url)

    @classmethod
    def load(cls, secret_file: Path | None = None, *, environment: Mapping[str, str] | None = None) -> Credentials:
        """Read the credentials from the environment, and what is not there from a secret file.

        Parameters
        ----------
        secret_file
            A file that only its owner may read (mode 0600), with lines ``ANNY_API_KEY=...`` and
            ``ANNY_API_SECRET=...``; None takes the one that ``ANNY_SECRET_FILE`` names, if any.
        environment
            ``ANNY_API_KEY``, ``ANNY_API_SECRET``, ``ANNY_BASE_URL`` (default ``https://api.anny.trade``); None is the
            process's own.

        Raises
        ------
        InvalidSettingError
            Where one is missing, or the file is readable by others.
        """
        variables = os.environ if environment is None else environment
        path = secret_file or (Path(variables[_FILE]) if variables.get(_FILE) else None)
        found = _read_secret_file(path) if path else {}
        found |= {name: variables[name] for name in (_KEY, _SECRET) if variables.get(name)}
        missing = [name for name in (_KEY, _SECRET) if not found.get(name)]
        if missing:
            raise InvalidSettingError(
                f"{' and '.join(missing)} not set; export it, or name a file of mode 0600 in {_FILE} that holds it"
            )
        url = variables.get(_URL) or DEFAULT_BASE_URL
        return cls(api_key=SecretStr(found[_KEY]), api_secret=SecretStr(found[_SECRET]), base_url=url)

    @property
    def redactor(self) -> Redactor:
        """What takes these secrets out of any text."""
        return Redactor((self.api_secret, self.api_key))

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the key's SHA-256: tells accounts apart without naming them."""
        return hashlib.sha256(b"anny account " + self.api_key.get_secret_value().encode()).hexdigest()[:16]

    @property
    def is_local(self) -> bool:
        """Whether the venue runs on this machine."""
        return is_loopback(urlsplit(self.base_url).hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether a host name or address never leaves this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def without_credentials() -> dict[str, str]:
    """Return this process's environment for a child that sends nothing: without the account's variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ANNY_")}


def refuse_secrets(settings: Mapping[str, Any], where: str) -> None:
    """Refuse a config file that holds a secret, at any depth: such files are shared and committed.

    Raises
    ------
    InvalidSettingError
        Naming the key, never the value.
    """
    for name, value in settings.items():
        if "".join(filter(str.isalnum, str(name).lower())) in _SECRET_NAMES:
            raise InvalidSettingError(
                f"{name} stands in {where}; a secret belongs into the environment ({_KEY}, {_SECRET}) or into a file "
                f"of mode 0600 named by {_FILE}; replace this one, as it may have been seen"
            )
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                refuse_secrets(inner, where)


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in {"http", "https"} or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidSettingError(f'{_URL} is a URL such as "{DEFAULT_BASE_URL}"; the one given has no scheme or host')
    if parts.username is not None or parts.password is not None:
        raise InvalidSettingError(f"{_URL} may hold no user name or password; the secrets go into {_KEY} and {_SECRET}")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise InvalidSettingError(f"{_URL} is scheme, host and port only, was {parts.scheme}://{host}{parts.path}...")
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidSettingError(
            f'{_URL} was "http://{host}"; secrets travel over https, plain http goes to this machine only'
        )
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" + (f":{port}" if port is not None else "")


def _read_secret_file(path: Path) -> dict[str, str]:
    """Return the two secrets in a file; an error never quotes what stands in it."""
    try:
        # without O_NONBLOCK a named pipe would wait for a writer
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            text = file.read(_MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise InvalidSettingError(f"the secret file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidSettingError(f"the secret file {path} is no UTF-8 text") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = line.partition("=")
        name = name.strip().removeprefix("export ").strip()
        if not equals or name not in {_KEY, _SECRET}:
            near = did_you_mean(name, (_KEY, _SECRET)) if equals else ""
            raise InvalidSettingError(f"line {number} of {path} is not {_KEY}=... or {_SECRET}=...{near}")
        found[name] = value.strip().strip("\"'")
    return found


def _check_owner(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidSettingError(f"the secret file {path} is no regular file")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise InvalidSettingError(f"the secret file {path} is open to others (mode {mode:04o}); run: chmod 600 {path}")
    if status.st_uid != os.geteuid():
        raise InvalidSettingError(f"the secret file {path} belongs to another user")
