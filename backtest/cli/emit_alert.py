"""``backtest emit alert``: where alarms go, and a test of each address."""

from __future__ import annotations

from typing import Annotated

import typer

from backtest.cli import emit_check

__all__ = ["alert"]


def alert(
    test: Annotated[bool, typer.Option("--test", help="Send a test to every address.")] = False,
    config: emit_check.ConfigOption = None,
) -> None:
    """Say where alarms go and which there are; with --test send one to each address. BACKTEST_ALERT_URL holds them.

    An https address is a webhook that takes JSON; others, such as tgram://TOKEN/CHAT, need the extra [alerts].
    """
    from backtest.errors import InvalidSettingError
    from backtest.live.alerts import ALERT_URL, WANTS, targets_from, tried
    from backtest.live.settings import LiveSettings

    alerts, targets = LiveSettings.load(config).alerts, targets_from()
    if not targets:
        raise InvalidSettingError(f"alarms go nowhere: put one or several addresses, apart by spaces, into {ALERT_URL}")
    if not test:
        kinds = ", ".join(kind.value for kind in WANTS if kind not in alerts.leave_out)
        typer.echo(
            f"alarms go to {', '.join(one.name for one in targets)}, the same one every {alerts.again_after:g} s"
        )
        typer.echo(f"kinds: {kinds}")
        return
    found = tried(targets, "signal-backtest")
    for name, failed in found:
        typer.echo(f"{name}: {failed or 'sent'}", err=bool(failed))
    if any(failed for _, failed in found):
        raise typer.Exit(3)
