"""Sender: the emitter in a thread of its own, so that a slow venue never holds up candles and decisions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from backtest.live.emitter import Emitter

__all__ = ["Sender"]

_IDLE_MS = 2_000


class Sender:
    """Sends what is planned, as long as the ``with`` lasts; at its end the calls on their way are waited for.

    Parameters
    ----------
    emitter
        Recovered already. From now on this thread alone steps it; :meth:`Emitter.plan` is called by whoever decides,
        and :meth:`wake` after it.
    """

    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter
        self.error: BaseException | None = None
        """What ended the thread: nothing is sent any more; None while all is well."""
        self._quiet = threading.Condition()
        self._asked, self._answered = 0, 0
        self._thread = threading.Thread(target=self._work, name="sender", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is None:
            self.check()

    def wake(self) -> None:
        """Say that something was planned, or that something else changed what may be sent."""
        with self._quiet:
            self._asked += 1
        self.emitter.wake()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self.error is not None:
            raise self.error

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until all that was planned before is acknowledged, given up or waiting; return whether it is so.

        Parameters
        ----------
        seconds
            At most so long; None for ever.
        """
        self.wake()
        with self._quiet:
            asked = self._asked
            done = self._quiet.wait_for(lambda: self._answered >= asked or self.error is not None, seconds)
        self.check()
        return done

    def stop(self) -> None:
        """Start no more calls, wait for those on their way (to the end of their deadline), and keep what became of them."""
        self.emitter.stop.set()
        self.emitter.wake()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        try:
            while not self.emitter.stop.is_set():
                with self._quiet:
                    asked = self._asked
                moment = self.emitter.step()
                if not self.emitter.busy and (moment is None or moment > self.emitter.clock.now()):
                    self._rest(asked)
                self._hear(moment)
        except BaseException as error:  # noqa: BLE001 - whoever decides must hear of it
            self.error = error
        finally:
            self._land()
            with self._quiet:
                self._quiet.notify_all()

    def _rest(self, asked: int) -> None:
        """Say that nothing goes on at the moment, of all that was planned up to here."""
        with self._quiet:
            self._answered = asked
            self._quiet.notify_all()

    def _hear(self, moment: int | None) -> None:
        emitter = self.emitter
        if emitter.busy or (moment is not None and moment <= emitter.clock.now()):
            emitter.hear(moment)
            return
        emitter.journal.tidy()  # where closes come too often for it ever to be idle
        idle = emitter.clock.now() + _IDLE_MS
        emitter.hear(idle if moment is None else min(idle, moment))
        if emitter.clock.now() >= idle:
            emitter.journal.tidy(now=True)

    def _land(self) -> None:
        try:
            self.emitter.land()
        except BaseException as error:  # noqa: BLE001
            self.error = self.error or error
