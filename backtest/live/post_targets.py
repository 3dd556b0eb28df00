"""Targets of posts: a folder, an https webhook, or what apprise reaches."""

from __future__ import annotations

import base64
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from backtest.errors import InvalidSettingError, StorageError
from backtest.live.apprise_service import AppriseService
from backtest.market_data.disk import write_atomic
from backtest.venue.webhook import Delivery, Webhook

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backtest.live.settings import PostSettings

__all__ = ["POST_URL", "Folder", "Hook", "Post", "PostTarget", "Service", "not_sent", "post_targets"]

POST_URL = "BACKTEST_POST_URL"
"""Variable with the addresses, apart by spaces: https ones are webhooks, all others are apprise's."""

_NOTHING_LEFT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "it answered 429")


@dataclass(frozen=True, slots=True)
class Post:
    """What subscribers read.

    Attributes
    ----------
    id
        Names it: the same after a restart.
    kind
        ``signal``, ``update`` or ``result``.
    at
        When what it tells of happened, UTC ms.
    tag
        Of its signal, 12 hex digits.
    text
        As it is read.
    values
        What the text was made of.
    picture
        PNG; empty without one.
    """

    id: str
    kind: str
    at: int
    tag: str
    text: str
    values: Mapping[str, Any]
    picture: bytes = b""

    @property
    def picture_name(self) -> str:
        """Name of the file of its picture: that of a create is where ``attachment_image1_url`` says."""
        return f"{self.tag}.png" if self.kind == "signal" else f"{self.tag}-{self.kind}.png"


class PostTarget(Protocol):
    """Where posts go."""

    name: str
    """For people and the outbox; nothing secret."""

    def send(self, post: Post) -> Delivery:
        """Make the post, once, and say what became of it; never raise."""


class Folder:
    """Writes text and picture of each post into a folder.

    Parameters
    ----------
    path
        Made where it is not there.

    Raises
    ------
    StorageError
        Where it cannot be.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.name = path, "folder"
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"the folder of posts {path} cannot be made: {error.strerror or error}") from None

    def send(self, post: Post) -> Delivery:
        """Write it."""
        try:
            if post.picture:
                write_atomic(self._path / post.picture_name, post.picture)
            write_atomic(self._path / f"{post.at}-{post.kind}-{post.tag}.txt", f"{post.text}\n".encode())
        except StorageError as error:
            return Delivery(str(error), again=True)
        return Delivery()


class Hook(Webhook):
    """A post as JSON: ``kind``, ``text``, what the text was made of, and ``picture`` as base64."""

    def send(self, post: Post) -> Delivery:
        """Post it."""
        picture = base64.b64encode(post.picture).decode() if post.picture else None
        return self.post({**post.values, "kind": post.kind, "text": post.text, "picture": picture})


class Service(AppriseService):
    """A post through apprise: Telegram, Discord, Slack, mail.

    Parameters
    ----------
    url
        As apprise has it: ``tgram://TOKEN/CHAT``.
    markup
        What the channel makes of the text: ``plain``, ``markdown`` or ``html``.

    Raises
    ------
    InvalidSettingError
        Where apprise is not installed, or does not know the address.
    """

    def __init__(self, url: str, markup: str) -> None:
        super().__init__(url)
        import apprise

        formats = {
            "plain": apprise.NotifyFormat.TEXT,
            "markdown": apprise.NotifyFormat.MARKDOWN,
            "html": apprise.NotifyFormat.HTML,
        }
        self._format = formats[markup]

    def send(self, post: Post) -> Delivery:
        """Let apprise send it; where it failed it may have arrived, so that it is not tried again."""
        try:
            with tempfile.TemporaryDirectory(prefix="post-") as folder:
                picture = Path(folder) / post.picture_name
                if post.picture:
                    picture.write_bytes(post.picture)
                attached = [str(picture)] if post.picture else None
                found = self.notify(post.text, title="", body_format=self._format, attached=attached)
        except OSError as error:
            return Delivery(type(error).__name__)
        return Delivery(found.failed)


def post_targets(settings: PostSettings, environment: Mapping[str, str] | None = None) -> list[PostTarget]:
    """Return where posts go: the folder of the settings and the addresses in ``BACKTEST_POST_URL``.

    Parameters
    ----------
    settings
        With the folder.
    environment
        None takes the process's own.

    Raises
    ------
    InvalidSettingError
        For an address that cannot be used; it is not shown.
    """
    urls = (os.environ if environment is None else environment).get(POST_URL, "").split()
    found: list[PostTarget] = [] if settings.folder is None else [Folder(settings.folder)]
    for number, url in enumerate(urls, 1):
        is_hook = url.partition(":")[0].lower() in {"http", "https"}
        target: Any = Hook(url) if is_hook else Service(url, settings.markup)
        target.name = f"{number} {target.name}"
        found.append(target)
    if settings.attachments_url and settings.folder is None:
        raise InvalidSettingError(
            "posts.attachments_url says where pictures will be, and posts.folder, where they are written, is not set"
        )
    return found


def not_sent(delivery: Delivery) -> bool:
    """Whether a failed post is proved not to have arrived: then it may be tried again."""
    return delivery.failed.startswith(_NOTHING_LEFT) or (delivery.again and delivery.failed.startswith("cannot write"))
