"""Posts: each signal, update and result of an emission as its subscribers read it, made once from its journal.

Whoever makes posts only reads the journal, in a process of its own: whatever happens here, emission neither waits nor ends.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backtest.errors import BacktestError
from backtest.live.copies import read_only
from backtest.live.post_book import Book
from backtest.live.post_picture import picture_of
from backtest.live.post_targets import Post, not_sent, post_targets
from backtest.live.post_text import PostText
from backtest.live.snapshot import snapshot
from backtest.live.track_record import publish, record_head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from backtest.live.intent import Intent
    from backtest.live.post_outbox import Outbox
    from backtest.live.post_targets import PostTarget
    from backtest.live.reconcile_replay import Rules
    from backtest.live.settings import PostSettings
    from backtest.live.snapshot import Snapshot
    from backtest.model.profile import SubscriberProfile
    from backtest.venue.webhook import Delivery

__all__ = ["Poster", "Way"]

_PATIENCE = 3_600_000
"""Milliseconds for which a target that cannot be reached is tried again."""
_FIRST, _LONGEST = 2_000, 300_000


@dataclass
class _Wait:
    """A target that could not be reached: since when, how often, and when it is tried again, UTC ms."""

    since: int
    tries: int
    again: int


@dataclass(frozen=True)
class Way:
    """How posts are made: settings, templates, targets."""

    settings: PostSettings
    words: PostText
    targets: Sequence[PostTarget]

    @classmethod
    def of(cls, settings: PostSettings) -> Way:
        """Return the way of some settings, with the addresses of the environment.

        Raises
        ------
        InvalidSettingError
            For a template with an error, or an address that cannot be used.
        """
        return cls(settings, PostText(settings), post_targets(settings))


class Poster:
    """Makes the posts of one journal.

    Parameters
    ----------
    journal
        Of the emission.
    way
        How they are made, and where they go.
    outbox
        Which were made.
    rules
        Returns the rules of a series' market, given those that the journal knows.
    profile_of
        Returns on whose account results are counted, by the strategy's identity and what the journal knows.
    now
        Returns UTC ms.
    tell
        Hears, in a sentence, what could not be posted.
    everything
        Whether what was sent before the outbox began is posted too.
    """

    def __init__(
        self,
        journal: Path,
        way: Way,
        outbox: Outbox,
        *,
        rules: Rules,
        profile_of: Callable[[str, SubscriberProfile | None], SubscriberProfile],
        now: Callable[[], int],
        tell: Callable[[str], object],
        everything: bool = False,
    ) -> None:
        self._journal, self._settings, self._words, self._targets = journal, way.settings, way.words, way.targets
        self._outbox, self._rules, self._profile_of = outbox, rules, profile_of
        self._now, self._tell, self._everything = now, tell, everything
        self._state: object = None
        self._left = False
        self._waits: dict[str, _Wait] = {}
        self._failed_templates: set[str] = set()

    def look(self) -> int:
        """Make the posts that are due, if anything has changed; return how many were made."""
        state, now = self._stands(), self._now()
        due = self._left and all(wait.again <= now for wait in self._waits.values())
        if state is None or (state == self._state and not due):
            return 0
        self._state = state  # what fails now is looked at again when there is something new
        return self.once()

    def once(self) -> int:
        """Make the posts that are due; return how many were made."""
        journal = snapshot(self._journal, verify=False)
        made, self._left = 0, False
        self._publish(journal)
        for post in self._due(journal):
            made += sum(self._send(target, post) for target in self._targets)
        return made

    def _publish(self, journal: Snapshot) -> None:
        """Bring the track record up to date, so that the head in a post covers what the post tells."""
        if self._settings.record is None:
            return
        try:
            publish(self._settings.record, journal, self._rules, self._profile_of)
        except BacktestError as error:
            self._tell(f"the track record was not brought up to date: {error}")

    def _stands(self) -> object:
        """Return what changes whenever there may be something to post; None before there is a journal."""
        if not self._journal.exists():
            return None
        asked = (
            "SELECT (SELECT max(id) FROM event), (SELECT count(*) FROM signal WHERE state = 'ended'),"
            " CASE WHEN EXISTS (SELECT 1 FROM signal WHERE state = 'canceled') THEN (SELECT max(time) FROM cursor) END,"
            " (SELECT count(*) FROM cursor)"
        )
        try:
            with closing(read_only(self._journal.resolve())) as db:
                found = db.execute(asked).fetchone()
        except sqlite3.Error:
            return None
        return found if found and found[-1] else None

    # ------------------------------------------------------------ what is due

    def _due(self, journal: Snapshot) -> Iterator[Post]:
        """Yield what was not posted everywhere yet, oldest first."""
        wanted: list[tuple[int, int, Callable[[], Post]]] = []
        for identity in journal.strategies:
            seat = Book(journal, identity, self._rules, self._profile_of(identity, journal.lived[identity].profile))
            for intent, moment in seat.sent():
                if self._wants(intent.id, moment):
                    wanted.append((moment, intent.seq, lambda s=seat, i=intent, m=moment: self._told(s, i, m)))  # type: ignore[misc]
            for ref, moment in seat.over():
                if self._wants(f"result {identity} {ref}", moment):
                    wanted.append((moment, 1 << 60, lambda s=seat, r=ref, m=moment: self._ended(s, r, m)))  # type: ignore[misc]
        for _, _, make in sorted(wanted, key=lambda one: one[:2]):
            yield make()

    def _wants(self, name: str, moment: int) -> bool:
        if moment < self._outbox.begun and not self._everything:
            return False
        lacking = [target for target in self._targets if not self._outbox.knows(name, target.name)]
        held = [target for target in lacking if self._holds(target)]
        self._left = self._left or bool(held)
        return len(lacking) > len(held)

    def _holds(self, target: PostTarget) -> bool:
        """Whether a target that could not be reached waits for its next try."""
        wait = self._waits.get(target.name)
        return wait is not None and self._now() < wait.again

    def _told(self, seat: Book, intent: Intent, moment: int) -> Post:
        kind = "signal" if intent.creates else "update"
        values = {**seat.common(intent.ref, moment), **(seat.signal(intent) if intent.creates else seat.update(intent))}
        picture = self._picture(seat, intent.ref, None) if intent.creates else b""
        return self._post(intent.id, kind, moment, values, picture)

    def _ended(self, seat: Book, ref: str, moment: int) -> Post:
        values = {**seat.common(ref, None), **seat.result(ref)}
        picture = self._picture(seat, ref, seat.ends[ref])
        return self._post(f"result {seat.identity} {ref}", "result", moment, values, picture)

    def _post(self, name: str, kind: str, moment: int, values: dict[str, Any], picture: bytes) -> Post:
        tag = values["tag"].removeprefix("ref:")
        url, record = self._settings.attachments_url, self._settings.record
        image = f"{tag}.png" if kind == "signal" else f"{tag}-{kind}.png"
        values["head"] = "" if record is None else record_head(record)
        values["image_url"] = f"{url}/{image}" if url and picture else ""
        words, problem = self._words.of(kind, values)
        if problem and problem not in self._failed_templates:
            self._failed_templates.add(problem)
            self._tell(f"our own template was taken for a post: {problem}")
        return Post(name, kind, moment, tag, words, values, picture)

    def _picture(self, seat: Book, ref: str, ended: int | None) -> bytes:
        if not self._settings.pictures:
            return b""
        try:
            return picture_of(seat.tables, seat.creates[ref].symbol, ref, seat.creates[ref].candle, ended)
        except Exception as error:  # noqa: BLE001 - a post without its picture is better than none
            self._tell(f"the picture of {ref} could not be drawn: {type(error).__name__}: {error}")
            return b""

    # ------------------------------------------------------------ sending

    def _send(self, target: PostTarget, post: Post) -> bool:
        """Send a post to a target that has not got it; return whether it was made now."""
        now, wait = self._now(), self._waits.get(target.name)
        if self._outbox.knows(post.id, target.name) or self._holds(target):
            return False
        self._outbox.start(post.id, target.name, now)
        found = target.send(post)
        if not found.failed:
            self._outbox.finish(post.id, target.name, self._now())
            self._waits.pop(target.name, None)
            return True
        self._failed(target, post, found, wait or _Wait(now, 0, now))
        return False

    def _failed(self, target: PostTarget, post: Post, found: Delivery, wait: _Wait) -> None:
        now = self._now()
        if not_sent(found) and now - wait.since < _PATIENCE:
            pause = min(_LONGEST, _FIRST << min(wait.tries, 20))
            self._waits[target.name] = _Wait(wait.since, wait.tries + 1, now + pause)
            self._outbox.take_back(post.id, target.name, now)
            self._left = True
            return
        self._waits.pop(target.name, None)
        self._outbox.finish(post.id, target.name, now, found.failed)
        self._tell(f"the {post.kind} {post.tag} was not posted to {target.name}: {found.failed}")
