"""AppriseService: what apprise reaches: Telegram, Discord, Slack, mail and a hundred more."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from backtest.errors import InvalidSettingError
from backtest.venue.webhook import Delivery, redactor_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AppriseService"]

_TALKATIVE = ("apprise", "urllib3.connectionpool")


class AppriseService:
    """An address of apprise's; like a :class:`Webhook`, and kept out of every log like one.

    Parameters
    ----------
    url
        As apprise has it: ``tgram://TOKEN/CHAT``.

    Raises
    ------
    InvalidSettingError
        Where apprise is not installed, or does not know the address.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition(":")[0]
        try:
            import apprise
        except ImportError:
            raise InvalidSettingError(
                f"alarms to {scheme}:// need apprise: pip install 'signal-backtest[alerts]'; https:// does without"
            ) from None
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(redactor_of(url.replace("//", "//-/", 1)))  # its host may be the secret
        self._apprise = apprise.Apprise()
        self.name = f"{scheme}://"
        if not self._apprise.add(url):
            raise InvalidSettingError(f"apprise knows no such address as the one that begins with {scheme}://")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def notify(self, text: str, *, attached: Sequence[str] | None = None, **options: Any) -> Delivery:
        """Let apprise send a message, once, and say what became of it; never raises.

        Parameters
        ----------
        text
            Its body.
        attached
            Paths of files that go with it.
        options
            ``title``, ``body_format`` and ``notify_type``, as apprise has them.
        """
        try:
            done = self._apprise.notify(body=text, attach=attached, **options)
        except Exception as error:  # noqa: BLE001 - a message that fails must not fail what it is about
            return Delivery(type(error).__name__, again=True)  # its text could hold the address
        return Delivery() if done else Delivery("the service did not take it", again=True)
