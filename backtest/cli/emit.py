"""``backtest emit``: a strategy's calls to the paper venue, what became of them, and the decisions of a person."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from backtest.cli import emit_check, emit_post, options
from backtest.cli.dashboard import NamesOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sized
    from threading import Event

    from backtest.live.channel import Channel
    from backtest.live.emission import Rehearsed
    from backtest.live.schema import Run
    from backtest.live.service import Served
    from backtest.live.settings import EmitSettings, LiveSettings
    from backtest.venue.credentials import Credentials
    from backtest.venue.outlet.door import Outlet
    from backtest.venue.outlet.settings import OutletSecrets

__all__ = ["register"]

_TOKEN, _URL = "ANNY_PAPER_TOKEN", "ANNY_BASE_URL"
_SECRETS = ("ANNY_API_KEY", "ANNY_API_SECRET")
_DEFAULT = "strategy"
_LOOK_SECONDS = 0.05

JournalOption = Annotated[Path, typer.Option(help="SQLite file with every call and what became of it.")]


class _Group(TyperGroup):
    """Takes ``emit FILE.py ...`` as the command for strategies."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the hidden command's name where a strategy was named."""
        if args and args[0] not in {*self.commands, "--help"}:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Show what a strategy's emission takes before the other commands, as it has no name of its own to ask for."""
        named = self.commands[_DEFAULT]
        with formatter.section("Options of emit FILE.py"):
            records = [record for each in named.get_params(ctx) if (record := each.get_help_record(ctx))]
            formatter.write_dl([record for record in records if record[0] != "--help"])
        super().format_options(ctx, formatter)


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    help="Send a strategy's calls: backtest emit strategies/breakout.py --paper --candles FILE --speed max",
)


def register(parent: typer.Typer) -> None:
    """Add the commands to an application."""
    app.command("check")(emit_check.check)
    app.command("post")(emit_post.post)
    parent.add_typer(app, name="emit")


@app.command(_DEFAULT, hidden=True)
def emit(  # noqa: PLR0913, PLR0917  every option is an argument
    strategy: Annotated[str | None, typer.Argument(help="File of the strategy, where no settings name it.")] = None,
    paper: Annotated[bool, typer.Option("--paper", help="To the paper venue; this is the default.")] = False,
    live: Annotated[bool, typer.Option("--live", help="To the vendor, or to ANNY_BASE_URL.")] = False,
    candles: Annotated[
        list[str] | None, typer.Option("--candles", "-c", help="File, or sample:BTC/USD:1h; once for each market.")
    ] = None,
    speed: Annotated[str, typer.Option(help="Candles a second, or max.")] = "max",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the requests, send none.")] = False,
    journal: Annotated[Path | None, typer.Option(help="SQLite file with every call; default emit.sqlite.")] = None,
    config: emit_check.ConfigOption = None,
    market: emit_check.MarketsOption = None,
    accept_new_code: Annotated[
        bool, typer.Option("--accept-new-code", help="Let code that decides otherwise than before go on.")
    ] = False,
    per_minute: emit_check.RateOption = None,
    account: emit_check.AccountOption = None,
    symbol: options.SymbolOption = None,
    timeframe: options.TimeframeOption = None,
    exchange: options.ExchangeOption = None,
    tick: options.TickOption = None,
    step: options.StepOption = None,
    param: options.ParamOption = None,
    profile: options.ProfileOption = "anny",
    store: options.StoreOption = None,
    attachments_url: emit_post.PicturesOption = None,
    dashboard: Annotated[
        str | None, typer.Option(help="HOST:PORT of a page beside it, 127.0.0.1:8799 say; see backtest dashboard.")
    ] = None,
    dashboard_name: NamesOption = None,
    venue: emit_check.VenueOption = None,
    url: emit_check.UrlOption = None,
) -> None:
    """Send a strategy's calls as candles close, to the paper venue or live; with --candles rehearse it on recorded ones.

    A rehearsal is compared with the backtest byte for byte. Without ANNY_BASE_URL a paper venue is started for the time
    being, its ledger beside the journal. A first Ctrl-C or SIGTERM ends it after the calls on their way, a second one at
    once; the same command goes on. Exit status: 4 where an outcome is unknown, 3 where a rehearsal differs.

    backtest emit strategies/breakout.py --market BTC/USDT --exchange binance --timeframe 1h --paper
    """
    from backtest.errors import InvalidSettingError
    from backtest.live.settings import LiveSettings

    if live and (paper or dry_run or candles):
        raise InvalidSettingError("--live runs on candles as they close; leave out --paper, --dry-run and --candles")
    sections: dict[str, Any] = {"limits": {"per_minute": per_minute}, "account": {"journal": journal}}
    sections["posts"] = {"attachments_url": attachments_url}
    if not candles:
        if strategy is not None and not market and config is None and not live:
            raise InvalidSettingError(
                "name --market BTC/USDT for candles as they close, or --candles FILE for a rehearsal"
            )
        flags = (strategy, market, exchange, timeframe, param, profile)
        settings = emit_check.settings_from(config, *flags, **sections)
        if venue is not None and not live:
            raise InvalidSettingError("--venue is another live venue: give --live with it")
        posting = emit_post.arguments_of(config, settings.account.journal, profile)
        with _page(settings.account.journal, dashboard, dashboard_name):
            _go_live(
                settings,
                "live" if live else "paper",
                account,
                store,
                url,
                posting,
                venue,
                accept_new_code=accept_new_code,
            )
        return
    if accept_new_code:
        raise InvalidSettingError(
            "--accept-new-code is for candles as they close; a rehearsal of other code takes another journal"
        )
    rehearsed = LiveSettings.load(config, sections)
    if strategy is None:
        raise InvalidSettingError("a rehearsal is of one strategy; name its file")
    chosen = options.strategy_from(strategy, param)
    if symbol is not None and len(candles) > 1:
        raise InvalidSettingError(
            f"--symbol names one market, there are {len(candles)} --candles; name files as their symbol"
        )
    found = [options.candles_from(each, symbol=symbol, timeframe=timeframe, exchange=exchange) for each in candles]
    series = {each.symbol: each for each in found}
    if len(series) < len(found):
        raise InvalidSettingError(f"each market has one --candles, were of {', '.join(each.symbol for each in found)}")
    traded = {
        each.symbol: replace(
            options.market_from(each, source=source, exchange=exchange, tick=tick, step=step),
            attachments_url=rehearsed.posts.attachments_url,
        )
        for each, source in zip(found, candles, strict=True)
    }
    from backtest.live.channel import Channel

    channel = Channel(chosen, series, traded, options.profile_from(profile))
    if dry_run:
        _print_requests(channel)
        return
    with _page(rehearsed.account.journal, dashboard, dashboard_name):
        _rehearse(channel, rehearsed.limits, rehearsed.account.journal, speed)


@contextmanager
def _page(journal: Path, address: str | None, names: list[str] | None) -> Iterator[None]:
    """Serve the dashboard in a process of its own for as long as the ``with`` lasts; without an address nothing."""
    if address is None:
        yield
        return
    from backtest.live.dashboard.serving import Beside

    with Beside(journal, address, names or (), _warn) as beside:
        typer.echo(f"dashboard at {beside.url}", err=True)
        if beside.gate.made:
            typer.echo(f"token for its buttons: {beside.gate.token}", err=True)
        yield


@app.command("status")
def status(
    journal: JournalOption = Path("emit.sqlite"),
    verify: Annotated[bool, typer.Option("--verify", help="Hold every row against its hash.")] = False,
) -> None:
    """Show what lives, what waits and what is unknown; exit status 4 while an unknown awaits a person."""
    from backtest.live.intent import State
    from backtest.live.journal import Journal
    from backtest.live.person import stop_file_of
    from backtest.live.status import status_text

    with Journal(journal) as book:
        if verify:
            book.verify()
            typer.echo("every row is as it was written")
        with book.moment():
            text, unknown = status_text(book), book.intents(State.UNKNOWN)
        typer.echo(text)
        if stop_file_of(journal).exists():
            typer.echo(f"entries are stopped: {stop_file_of(journal)} is there; backtest emit stop-entries --off")
        if unknown:
            raise typer.Exit(4)


@app.command("backup")
def backup(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
    journal: JournalOption = Path("emit.sqlite"),
) -> None:
    """Copy the whole journal to a file, also while an emitter writes it; a plain copy would miss what is in its log."""
    from backtest.live.journal import Journal

    with Journal(journal) as book:
        book.verify()
        book.backup(file)
    typer.echo(f"{journal} was copied to {file}")


@app.command("resolve")
def resolve(
    intent: Annotated[str, typer.Argument(help="Start of the id, as emit status shows it.")],
    landed: Annotated[str | None, typer.Option(help="It is at the venue, under this parent_signal_id.")] = None,
    not_landed: Annotated[bool, typer.Option("--not-landed", help="It is not at the venue.")] = False,
    abandon: Annotated[bool, typer.Option("--abandon", help="Nobody can tell; leave it.")] = False,
    journal: JournalOption = Path("emit.sqlite"),
) -> None:
    """Say what became of an unknown, whether an emitter runs or not."""
    from backtest.errors import InvalidSettingError
    from backtest.live.commands import resolved
    from backtest.live.intent import State

    if (landed is not None) + not_landed + abandon != 1:
        raise InvalidSettingError("say one of --landed PARENT_ID, --not-landed or --abandon")
    state = State.LANDED if landed is not None else State.NOT_LANDED if not_landed else State.ABANDONED
    done = resolved(journal, intent, state, landed)
    typer.echo(f"{done['kind']} {done['id'][:12]} of {done['ref']} is {state.value}; {done['unknown']} unknown left")


@app.command("stop-entries")
def stop_entries(
    journal: JournalOption = Path("emit.sqlite"),
    off: Annotated[bool, typer.Option("--off", help="Let entries go again.")] = False,
) -> None:
    """Send no more entries, from the next call on and over restarts, until --off; exits and updates still go."""
    from backtest.live.commands import ask
    from backtest.live.person import stop_entries as change

    done = ask(journal, do="stop-entries", stop=not off)
    file = done["file"] if done else str(change(journal, stop=not off))
    nobody = "" if done else f" (no emission runs on {journal} now)"
    typer.echo((f"entries go again: {file} is gone" if off else f"entries are stopped while {file} is there") + nobody)


@app.command("alert")
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


@app.command("cancel-all")
def cancel_all(
    journal: JournalOption = Path("emit.sqlite"),
    ended: Annotated[bool, typer.Option("--ended", help="Those too that have ended by our own book.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    venue: emit_check.VenueOption = None,
) -> None:
    """Close every signal that is not confirmed closed, and say what happened to each; again for what failed before."""
    from backtest.errors import InvalidSettingError
    from backtest.live.commands import ask
    from backtest.live.journal import Journal
    from backtest.live.person import to_cancel
    from backtest.venue.credentials import Credentials

    with Journal(journal) as book:
        rows, last = to_cancel(book, ended=ended), book.last_run()
    if not rows or last is None:
        typer.echo("no signal lives")
        return
    signals = "1 signal" if len(rows) == 1 else f"{len(rows)} signals"
    question = f"cancel {signals} of the {last.mode} account {last.account}, and so close their positions?"
    try:
        agreed = yes or typer.confirm(question)
    except typer.Abort:
        raise InvalidSettingError(
            "nothing was canceled, since nobody answered: say --yes where there is no terminal"
        ) from None
    if not agreed:
        typer.echo("nothing was canceled", err=True)
        raise typer.Exit(2)
    done = ask(journal, do="cancel-all", ended=ended)
    if done is not None:
        _tell_canceled(done["canceled"])
        return
    if venue is not None:
        secrets, door = emit_check.outlet_of(venue)
        _close(journal, secrets, last, ended=ended, outlet=door)
        return
    if last.mode != "paper":
        _close(journal, Credentials.load(), last, ended=ended)
        return
    with _venue(journal) as (credentials, _):
        _close(journal, credentials, last, ended=ended)


def _close(
    journal: Path,
    credentials: Credentials | OutletSecrets,
    last: Run,
    *,
    ended: bool,
    outlet: Callable[[Callable[[], float]], Outlet] | None = None,
) -> None:
    import time
    from dataclasses import asdict

    from backtest.errors import InvalidSettingError
    from backtest.live.clock import WallClock
    from backtest.live.emitter import Emitter
    from backtest.live.journal import Journal
    from backtest.live.person import canceled, plan_cancels
    from backtest.live.schema import Run
    from backtest.live.settings import EmitSettings
    from backtest.venue.client import Client
    from backtest.venue.credentials import Credentials
    from backtest.venue.rate import RateLimit

    if last.mode == "paper" and not credentials.is_local:
        raise InvalidSettingError(f"{journal} is a paper journal, ANNY_BASE_URL was {credentials.base_url}")
    settings, clock = EmitSettings(), WallClock()
    start = Run(last.mode, credentials.fingerprint, clock.now(), last.code_hash, last.config_hash)
    if outlet is not None:
        door: Client | Outlet = outlet(time.monotonic)
    else:
        assert isinstance(credentials, Credentials)  # noqa: S101 - an outlet comes with its own door
        door = Client(credentials, rate=RateLimit(settings.per_minute))
    with Journal(journal, start) as book, door as client:
        emitter = Emitter(book, client, clock, settings, clock.now)
        lost = [one for one in emitter.recover() if not one.repeatable]
        rows = plan_cancels(book, credentials.fingerprint, clock.now(), ended=ended, max_lag=client.max_lag)
        emitter.drain(clock.now() + 60_000 * (2 + len(rows) // client.rate.per_minute))
        done = canceled(book, rows)
    if lost:
        _tell_unknown(lost)
    _tell_canceled([asdict(one) for one in done])
    if lost:
        raise typer.Exit(4)


def _tell_unknown(unknown: Sized) -> None:
    typer.echo(f"{len(unknown)} unknown outcomes await a person: backtest emit status", err=True)


def _tell_canceled(done: list[dict[str, Any]]) -> None:
    for one in done:
        typer.echo(f"{one['ref']} = {one['parent_signal_id']}: {one['state']} {one['note']}".rstrip())
    states = {one["state"] for one in done}
    if "unknown" in states:
        raise typer.Exit(4)
    if states - {"acked"}:
        raise typer.Exit(3)


def _go_live(
    settings: LiveSettings,
    mode: str,
    account: str | None,
    store: str | None,
    url: str | None,
    posting: list[str],
    venue: Path | None = None,
    *,
    accept_new_code: bool,
) -> None:
    """Emit on candles as they close, until a signal stops it."""
    import asyncio

    from backtest.live.attending import attended
    from backtest.live.log import Log
    from backtest.live.posting import Posting
    from backtest.live.service import Service, serve
    from backtest.live.stopping import interrupted_by_signal, stopped_by_signal
    from backtest.market_data.exchange import Access
    from backtest.market_data.retry import Retry
    from backtest.venue.credentials import Credentials

    secrets, outlet = (None, None) if venue is None else emit_check.outlet_of(venue)
    if mode == "live":
        try:
            with interrupted_by_signal():
                found = emit_check.look(
                    settings, emit_check.history_of([], store), account=account, url=url, venue=venue
                )
        except KeyboardInterrupt:
            typer.echo("stopped while the conditions of going live were looked at; nothing was sent", err=True)
            raise typer.Exit from None
        if not found.holds:
            typer.echo("error: live emission was not started, nothing was sent", err=True)
            raise typer.Exit(found.exit_status)
    names = {each.exchange for each in settings.strategy}
    access = {name: Access(url, retry=Retry(attempts=2)) for name in names}

    def go(credentials: Credentials | OutletSecrets, token: str | None) -> Served:
        log = Log(redactor=credentials.redactor)
        who = f"{mode} {credentials.fingerprint}"
        with Posting(settings, posting, log.warning), attended(settings, who, log) as (notices, beat):
            service = Service(
                settings,
                credentials,
                mode,
                options.profile_from,
                access,
                token,
                notices=notices,
                beat=beat,
                looks_again=True,
                outlet=outlet,
            )
            service = replace(service, accept_new_code=accept_new_code)
            return asyncio.run(serve(service, stop))

    with stopped_by_signal() as stop:
        if mode == "live":
            done = go(secrets or Credentials.load(settings.account.secret_file), None)
        else:
            with _venue(settings.account.journal) as (credentials, token):
                done = go(credentials, token)
    for sentence in done.halted:
        typer.echo(f"error: {sentence}", err=True)
    if done.refused:
        typer.echo(
            f"error: {done.refused.why}, nothing but cancels was sent since; check {done.refused.check}", err=True
        )
    if done.unknown:
        _tell_unknown(done.unknown)
        raise typer.Exit(4)
    if done.refused or done.halted:
        raise typer.Exit(2)


def _print_requests(channel: Channel) -> None:
    from backtest.wire import endpoint_of

    channel.backtest(_warn)
    session, count = channel.session(), 0
    for time, rows in channel.instants():
        for decision in session.walk(time, rows):
            request = endpoint_of(decision.call, getattr(decision.call, "signal", None))
            typer.echo(f"{decision.at} {request.method} {request.path} {request.body.decode()}")
            count += 1
    typer.echo(f"{count} calls, none was sent", err=True)


def _warn(sentence: str) -> None:
    typer.echo(f"warning: {sentence}", err=True)


def _rehearse(channel: Channel, settings: EmitSettings, journal: Path, speed: str) -> None:
    from backtest.live.emission import rehearse
    from backtest.live.stopping import stopped_by_signal

    with stopped_by_signal() as stop, _venue(journal) as (credentials, token):
        hear = {"warn": _warn, "tell": lambda text: typer.echo(text, err=True)}
        pace = _pace(speed, stop)
        done = rehearse(channel, credentials, journal, settings, token=token, pace=pace, stop=stop, **hear)
    _leave(done)


def _leave(done: Rehearsed) -> None:
    """Say how it went, and end with the status that the outcome has."""
    if done.stopped:
        typer.echo("stopped; what was on its way was waited for, and the same command goes on")
    elif done.halted:
        typer.echo(f"error: {done.halted.why}, nothing was sent since; check {done.halted.check}", err=True)
    else:
        typer.echo(done.report.text())
    if done.unknown:
        _tell_unknown(done.unknown)
        raise typer.Exit(4)
    if done.halted:
        raise typer.Exit(2)
    if not done.stopped and (done.left or not done.report.equal or done.report.lost):
        raise typer.Exit(3)


def _pace(text: str, stop: Event) -> Callable[[int], object] | None:
    import time

    from backtest.cli.venue import speed_of

    speed = speed_of(text)
    if speed is None:
        return None
    start = time.monotonic()

    def wait(done: int) -> None:
        while not stop.is_set() and (left := start + done / speed - time.monotonic()) > 0.0:
            time.sleep(min(left, _LOOK_SECONDS))

    return wait


@contextmanager
def _venue(journal: Path) -> Iterator[tuple[Credentials, str | None]]:
    """Give the venue of ``ANNY_BASE_URL`` or, without one, a paper venue of this process."""
    from backtest.venue.credentials import Credentials

    if os.environ.get(_URL):
        yield Credentials.load(), os.environ.get(_TOKEN) or None
        return
    from backtest.venue.guard import Guard
    from backtest.venue.ledger import Ledger
    from backtest.venue.paper import PaperVenue
    from backtest.venue.server import paper_app
    from backtest.venue.serving import PaperServer, listen

    listener = listen("127.0.0.1", 0)
    made = {name: os.environ.get(name) or f"paper-{name}" for name in _SECRETS}
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    credentials = Credentials.load(environment={**made, _URL: url})
    token = secrets.token_hex(16)
    venue = PaperVenue(Ledger(journal.with_suffix(".venue.sqlite")))
    with listener, PaperServer(paper_app(venue, Guard(credentials, token=token)), listener):
        yield credentials, token
