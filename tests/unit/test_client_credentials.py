"""Credentials: where secrets may come from, and where they may go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from backtest.errors import InvalidSettingError
from backtest.venue.credentials import Credentials, is_loopback, refuse_secrets

if TYPE_CHECKING:
    from pathlib import Path

KEY, SECRET = "key-4f1d9a", "c2VjcmV0L3dpdGgrc2lnbnM9PQ=="
BOTH = {"ANNY_API_KEY": KEY, "ANNY_API_SECRET": SECRET}


def secret_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "anny.secret"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_environment_is_enough() -> None:
    found = Credentials.load(environment=BOTH)
    assert found.api_key.get_secret_value() == KEY
    assert found.api_secret.get_secret_value() == SECRET
    assert found.base_url == "https://api.anny.trade"
    assert not found.is_local


def test_processes_own_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in BOTH.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANNY_BASE_URL", "http://localhost:8787/")
    monkeypatch.delenv("ANNY_SECRET_FILE", raising=False)
    found = Credentials.load()
    assert found.base_url == "http://localhost:8787"
    assert found.is_local


def test_secret_file_fills_what_the_environment_leaves_out(tmp_path: Path) -> None:
    path = secret_file(tmp_path, f'# mine\n\nexport ANNY_API_KEY="{KEY}"\nANNY_API_SECRET = {SECRET}\n')
    assert Credentials.load(path, environment={}) == Credentials.load(environment=BOTH)
    named = Credentials.load(environment={"ANNY_SECRET_FILE": str(path), "ANNY_API_KEY": "another"})
    assert named.api_key.get_secret_value() == "another"
    assert named.api_secret.get_secret_value() == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601, 0o620])
def test_secret_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = secret_file(tmp_path, f"ANNY_API_KEY={KEY}\nANNY_API_SECRET={SECRET}\n", mode)
    with pytest.raises(InvalidSettingError, match="chmod 600"):
        Credentials.load(path, environment={})


@pytest.mark.parametrize("text", [f"{SECRET}\n", f"ANNY_API_SECRT={SECRET}\n", f'{{"ANNY_API_KEY": "{KEY}"}}', KEY])
def test_secret_file_with_another_line_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidSettingError, match="line 1") as caught:
        Credentials.load(secret_file(tmp_path, text), environment={})
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


def test_secret_file_must_be_a_readable_text(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match="cannot be read"):
        Credentials.load(tmp_path / "absent", environment={})
    with pytest.raises(InvalidSettingError, match="directory"):
        Credentials.load(tmp_path, environment={})
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(InvalidSettingError, match="regular"):
        Credentials.load(pipe, environment={})
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    binary.chmod(0o600)
    with pytest.raises(InvalidSettingError, match="UTF-8"):
        Credentials.load(binary, environment={})


def test_secret_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = secret_file(tmp_path, f"ANNY_API_KEY={KEY}\n")
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(InvalidSettingError, match="another user"):
        Credentials.load(path, environment={})


@pytest.mark.parametrize("gone", BOTH)
def test_missing_secret_is_named(gone: str) -> None:
    with pytest.raises(InvalidSettingError, match=gone):
        Credentials.load(environment={name: value for name, value in BOTH.items() if name != gone})


@pytest.mark.parametrize("secret", [f"{SECRET}\n", f" {SECRET}", "two words", "é" + SECRET, SECRET + "\x00", "a\r\nb"])
def test_secret_that_is_no_header_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(InvalidSettingError, match="ANNY_API_SECRET") as caught:
        Credentials.load(environment=BOTH | {"ANNY_API_SECRET": secret})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.anny.trade/", "https://api.anny.trade"),
        ("https://Venue.Example:8443", "https://venue.example:8443"),
        ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("http://127.8.8.8", "http://127.8.8.8"),
        ("http://[::1]:8787", "http://[::1]:8787"),
        ("http://localhost:0", "http://localhost:0"),
    ],
)
def test_url_is_scheme_host_and_port(url: str, kept: str) -> None:
    assert Credentials.load(environment=BOTH | {"ANNY_BASE_URL": url}).base_url == kept


@pytest.mark.parametrize(
    "url",
    [
        "http://api.anny.trade",
        "http://192.168.0.1:8787",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.1",
        "http://2130706433",
        "http://0.0.0.0:8787",
        "http://[::]:8787",
        "http://api.anny.trade@127.0.0.1",
        "https://user:secret@api.anny.trade",
        "https://api.anny.trade/v1",
        "https://api.anny.trade?x=1",
        "https://api.anny.trade#x",
        "ftp://api.anny.trade",
        "file:///etc/passwd",
        "api.anny.trade",
        "https://",
        "https://[::1",
        "https://api.anny.trade:port",
        "https://api.anny.trade:99999",
        "https://api anny.trade",
        "https://api.anny.trade\n",
        "https://\u0430pi.anny.trade",
    ],
)
def test_url_over_which_a_secret_may_not_travel_is_refused(url: str) -> None:
    with pytest.raises(InvalidSettingError, match="ANNY_BASE_URL") as caught:
        Credentials.load(environment=BOTH | {"ANNY_BASE_URL": url})
    assert "user:secret" not in str(caught.value)


def test_loopback_is_this_machine_only() -> None:
    assert is_loopback("::1")
    assert not is_loopback("::")
    assert not is_loopback("localhost.localdomain.example")


@pytest.mark.parametrize(
    "config",
    [
        {"api_key": KEY},
        {"anny-api-secret": SECRET},
        {"live": {"ANNY_API_KEY": KEY}},
        {"venues": [{"name": "x"}, {"apiSecret": SECRET}]},
        {"token": SECRET},
    ],
)
def test_secret_in_a_config_file_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidSettingError, match=r"live\.toml") as caught:
        refuse_secrets(config, "live.toml")
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_config_file_without_secrets_is_fine() -> None:
    refuse_secrets({"strategy": "x", "markets": [{"tick": "0.01"}, "BTC/USDT"], "live": {"grace_ms": 5}}, "live.toml")


def test_fingerprint_tells_accounts_apart_without_naming_them() -> None:
    mine = Credentials.load(environment=BOTH)
    assert mine.fingerprint == Credentials.load(environment=BOTH | {"ANNY_API_SECRET": "rotated"}).fingerprint
    assert mine.fingerprint != Credentials.load(environment=BOTH | {"ANNY_API_KEY": "another"}).fingerprint
    assert len(mine.fingerprint) == 16
    assert KEY not in mine.fingerprint
