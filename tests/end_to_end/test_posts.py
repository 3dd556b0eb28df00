"""Channel posts: each signal, update and result once, as a subscriber reads it, whatever the channel does."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from backtest.live.journal import Journal
from backtest.live.post_text import PostText, escaper
from backtest.live.posting import Posting
from backtest.live.settings import LiveSettings, PostSettings
from backtest.live.track_record import record_head
from backtest.report.panels import price_panel
from tests.command_line import BREAKOUT, ROOT, backtest
from tests.end_to_end.test_reconcile import BTC, HISTORY, HOUR, PARAMETERS, room
from tests.fast_disk import fast_folder  # noqa: F401 - a fixture
from tests.raw_server import RawServer, answer, drip, http
from tests.shown import is_as_kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.journal_room import JournalRoom

    Behaviour = Callable[[RawServer, socket.socket], None]

OK = answer(http("204 No Content"))


def emitted(path: Path, until: int = HISTORY + 160) -> JournalRoom:
    """Return an emission that has sent some signals, with the pictures' address in its creates."""
    emission = room(path, BTC)
    emission.markets = {BTC: replace(emission.markets[BTC], attachments_url="https://channel.example/p")}
    emission.emit(until=until)
    return emission


def config(path: Path, **more: Any) -> Path:
    """Write settings of posts without pictures, which take long to draw."""
    said = {"pictures": False, **more}
    lines = [f"{name} = {json.dumps(value if isinstance(value, bool) else str(value))}" for name, value in said.items()]
    file = path / "live.toml"
    file.write_text("\n".join(["[posts]", *lines, "[account]", f'journal = "{path / "journal.sqlite"}"']), "utf-8")
    return file


def acked(emission: JournalRoom) -> dict[str, int]:
    """Return how many calls of each sort the venue confirmed."""
    with Journal(emission.path) as journal:
        creates = [each.creates for each in journal.intents()]
        over = len(journal.signals("ended"))
    return {"signal": sum(creates), "update": len(creates) - sum(creates), "result": over}


def kinds(texts: list[Path]) -> dict[str, int]:
    found = dict.fromkeys(("signal", "update", "result"), 0)
    for text in texts:
        found[text.name.split("-")[1]] += 1
    return found


def test_each_signal_update_and_result_is_written_once_with_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def panel(axes: Any, tables: Any, symbol: str, span: tuple[int, int], marked: dict[str, tuple[int, int]]) -> None:
        ((sent, last),) = marked.values()
        drawn.append(tuple((moment - sent) // HOUR for moment in (span[0], last, span[1])))
        price_panel(axes, tables, symbol, span, marked)

    monkeypatch.setattr("backtest.live.post_picture.price_panel", panel)
    emission, folder = emitted(tmp_path, HISTORY + 260), tmp_path / "posts"
    arguments = ("emit", "post", "--journal", emission.path, "--folder", folder, "--all")
    done = backtest(*arguments)
    assert done.status == 0, done.err
    texts = sorted(folder.glob("*.txt"))
    assert kinds(texts) == acked(emission)
    assert min(kinds(texts).values()) > 0
    with Journal(emission.path) as journal:
        rows = [(row.tag, row.state) for row in journal.signals()]
        bodies = [json.loads(each.body) for each in journal.intents() if each.creates]
    pictures = {file.name: file.read_bytes() for file in folder.glob("*.png")}
    assert pictures.keys() == {f"{tag}.png" for tag, _ in rows} | {
        f"{tag}-result.png" for tag, end in rows if end == "ended"
    }
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert sorted(set(drawn)) == [
        (-60, 1, 13),
        (-60, 12, 14),
        (-60, 33, 45),
        (-60, 78, 90),
    ]  # hours around what was sent
    named = {body["attachment_image1_url"] for body in bodies}
    assert named == {f"https://channel.example/p/{tag}.png" for tag, _ in rows}
    first = next(text for text in texts if "-signal-" in text.name).read_text("utf-8")
    body = bodies[0]
    for name in ("entry_price_min", "entry_price_max", "exit_price_1", "exit_price_2", "stop_loss"):
        assert body[name] in first
    is_as_kept("posts.txt", "".join(f"## {text.name}\n{text.read_text('utf-8')}\n" for text in texts))
    assert done.out == f"{len(texts)} posted now; in all {len(texts)} made\n"
    for text in texts:
        text.unlink()
    assert backtest(*arguments).out == f"0 posted now; in all {len(texts)} made\n"
    assert list(folder.glob("*.txt")) == []


def test_a_signal_is_drawn_as_it_stood_when_it_was_sent(tmp_path: Path) -> None:
    """The same bytes an hour and a month later: no candle behind the close is in the picture."""
    pictures = []
    for until in (HISTORY + 60, HISTORY + 160):
        folder = tmp_path / str(until)
        folder.mkdir()
        emission = emitted(folder, until)
        assert backtest("emit", "post", "--journal", emission.path, "--folder", folder / "posts", "--all").status == 0
        with Journal(emission.path) as journal:
            tag = journal.signals()[0].tag
        pictures.append((folder / "posts" / f"{tag}.png").read_bytes())
    assert pictures[0] == pictures[1]


def test_what_was_sent_before_posts_began_is_not_posted(tmp_path: Path) -> None:
    emission = emitted(tmp_path)
    done = backtest("emit", "post", "--config", config(tmp_path, folder=tmp_path / "posts"))
    assert (done.status, done.out) == (0, "0 posted now; in all none\n")
    assert not emission.path.with_name("journal.sqlite.posts").stat().st_mode & 0o077


BROKEN: dict[str, tuple[Behaviour, str]] = {
    "500": (answer(http("500 Oops")), "it answered 500"),
    "redirect": (
        answer(http("302 Found", b"", "location: https://elsewhere.example/")),
        "a redirect, which is never followed",
    ),
    "hangs": (drip(http("200 OK"), every=5.0), "DeadlineExceededError|ReadTimeout|Timeout|Deadline"),
    "no HTTP": (answer(b"SSH-2.0\r\n", close=True), "Error"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_webhook_gets_each_post_once_and_a_sentence(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, sentence = BROKEN[name]
    emission = emitted(tmp_path, HISTORY + 40)
    monkeypatch.setattr("backtest.venue.webhook.Webhook.__init__.__kwdefaults__", {"seconds": 0.5})
    count = sum(acked(emission).values())
    assert count > 0
    with RawServer(behaviour) as server:
        monkeypatch.setenv("BACKTEST_POST_URL", f"{server.url}/hooks/secret-part-1234")
        for _ in range(2):
            done = backtest("emit", "post", "--config", config(tmp_path, folder=tmp_path / "posts"), "--all")
            assert done.status == 0
            assert done.out.endswith(f"; in all {count} failed, {count} made\n")
            if _ == 0:
                assert re.search(sentence, done.err)
                assert done.err.count("\n") == count
            assert "secret-part" not in done.out + done.err
        assert server.connections == count
    assert kinds(sorted((tmp_path / "posts").glob("*.txt"))) == acked(emission)  # the folder got them all the same


def test_a_webhook_gets_text_figures_and_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emission = emitted(tmp_path, HISTORY + 40)
    with RawServer(OK) as server:
        monkeypatch.setenv("BACKTEST_POST_URL", server.url)
        done = backtest("emit", "post", "--config", config(tmp_path, pictures=True), "--all")
        assert done.status == 0, done.err
        heads = [request.partition(b"\r\n\r\n")[2] for request in server.requests]
    posts = [json.loads(body) for body in heads]
    assert len(posts) == sum(acked(emission).values())
    assert posts[0]["kind"] == "signal"
    assert posts[0]["entry"] in posts[0]["text"]
    assert base64.b64decode(posts[0]["picture"]).startswith(b"\x89PNG")
    assert "image_url" in posts[0]
    plain = [{name: value for name, value in post.items() if name != "picture"} for post in posts]
    is_as_kept("posts.json", json.dumps(plain, indent=1) + "\n")


def test_a_channel_that_was_not_reached_gets_its_posts_later_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emission = emitted(tmp_path, HISTORY + 60)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("BACKTEST_POST_URL", f"http://127.0.0.1:{port}/")
    settings = config(tmp_path)
    assert backtest("emit", "post", "--config", settings, "--all").out.startswith("0 posted now; in all 1 planned")
    with RawServer(OK) as server:
        monkeypatch.setenv("BACKTEST_POST_URL", f"{server.url}/")
        with sqlite3.connect(emission.path.with_name("journal.sqlite.posts")) as db:
            assert db.execute("SELECT DISTINCT state FROM post").fetchall() == [("planned",)]
        assert backtest("emit", "post", "--config", settings, "--all").status == 0
        assert len(server.requests) == sum(acked(emission).values())
        times = [json.loads(request.partition(b"\r\n\r\n")[2])["decided"] for request in server.requests[:2]]
    assert times == sorted(times)


def test_a_post_that_may_have_been_made_is_never_made_again(tmp_path: Path) -> None:
    emission, folder = emitted(tmp_path, HISTORY + 60), tmp_path / "posts"
    settings = config(tmp_path, folder=folder)
    assert backtest("emit", "post", "--config", settings, "--all").status == 0
    made = sorted(file.name for file in folder.glob("*.txt"))
    with sqlite3.connect(emission.path.with_name("journal.sqlite.posts")) as db:  # as a kill in the middle leaves it
        db.execute("UPDATE post SET state = 'started' WHERE rowid = 1")
        db.execute("DELETE FROM post WHERE rowid = 2")
    for file in folder.glob("*.txt"):
        file.unlink()
    assert backtest("emit", "post", "--config", settings, "--all").out.startswith("1 posted now")
    assert [file.name for file in folder.glob("*.txt")] == [made[1]]


def test_two_processes_do_not_make_the_same_posts(tmp_path: Path) -> None:
    emitted(tmp_path, HISTORY + 40)
    settings = config(tmp_path, folder=tmp_path / "posts")
    command = [sys.executable, "-m", "backtest", "emit", "post", "--follow", "--config", str(settings)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as first:
        _until(lambda: (tmp_path / "journal.sqlite.posts").exists() and _is_locked(tmp_path, settings))
        first.communicate(timeout=20)
        assert first.returncode == 0
    assert backtest("emit", "post", "--config", settings).status == 0


def test_a_process_beside_an_emission_posts_what_is_sent_and_ends_with_it(tmp_path: Path) -> None:
    file, said = config(tmp_path, folder=tmp_path / "posts"), list[str]()
    journal = tmp_path / "journal.sqlite"
    with Posting(LiveSettings.load(file), ["--config", str(file)], said.append):
        _until((tmp_path / "journal.sqlite.posts").exists)
        done = backtest("emit", BREAKOUT, "--paper", "--candles", "sample:ETH/USD:1d", "--journal", journal)
        assert done.status == 0, done
    with Journal(journal) as book:
        creates = [each.creates for each in book.intents()]
    made = kinds(sorted((tmp_path / "posts").glob("*.txt")))
    assert (made["signal"], made["update"]) == (sum(creates), len(creates) - sum(creates))
    assert made["result"] > 0
    assert said == []
    assert backtest("emit", "post", "--config", file).out.startswith("0 posted now")


def test_nothing_is_started_where_posts_go_nowhere(tmp_path: Path) -> None:
    with Posting(LiveSettings.load(config(tmp_path)), [], lambda _: None):
        pass
    assert not (tmp_path / "journal.sqlite.posts").exists()


def _is_locked(path: Path, settings: Path) -> bool:
    done = backtest("emit", "post", "--config", settings)
    if done.status == 0:
        return False
    assert (done.status, "writes the posts" in done.err) == (2, True), (path, done)
    return True


def _until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


TEMPLATES: dict[str, tuple[str, str, str]] = {
    "syntax": ("signal.txt", "Buy {{ symbol }}\n{% if stop %}\nStop {{ stop }}\n", "signal.txt line 3: "),
    "no such value": ("update.txt", "{{ what }}\n\n{{ targets }}\n", "update.txt line 3: 'targets' is undefined"),
    "fails where a value is absent": ("result.txt", "{{ fills[0] }}\n", "result.txt line 1: "),
    "empty": ("signal.txt", "\n", "signal.txt makes an empty post"),
    "reaches out": ("signal.txt", "{{ ''.__class__.__mro__ }}\n", "signal.txt line 1: "),
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_with_an_error_is_one_sentence_at_the_start(tmp_path: Path, name: str) -> None:
    emission = emitted(tmp_path, HISTORY + 20)
    file, content, sentence = TEMPLATES[name]
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / file).write_text(content, "utf-8")
    settings = config(tmp_path, folder=tmp_path / "posts", templates=templates)
    for command in (
        ("emit", "post"),
        ("emit", BREAKOUT, "--market", BTC, "--exchange", "binance", "--timeframe", "1h"),
    ):
        done = backtest(*command, "--config", settings)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert sentence in done.err
    assert not emission.path.with_name("journal.sqlite.posts").exists()


def test_a_template_of_the_provider_is_used_and_the_records_head_covers_the_post(tmp_path: Path) -> None:
    emission, record, templates = emitted(tmp_path, HISTORY + 60), tmp_path / "record.jsonl", tmp_path / "templates"
    templates.mkdir()
    (templates / "signal.txt").write_text("{{ coin }} *now* {{ targets | join('/') }} {{ head }}\n", "utf-8")
    settings = config(tmp_path, folder=tmp_path / "posts", templates=templates, record=record, markup="markdown")
    assert backtest("emit", "post", "--config", settings, "--all").status == 0
    head = record_head(record)
    text = next((tmp_path / "posts").glob("*-signal-*.txt")).read_text("utf-8")
    assert re.fullmatch(rf"BTC \*now\* [0-9]+\\\.?[0-9]*/.* {head}\n", text), text
    update = next((tmp_path / "posts").glob("*-result-*.txt")).read_text("utf-8")
    assert f"Record {head}" in update
    assert backtest("verify", record, "--since", head).status == 0
    assert backtest("reconcile", emission.path, "--publish", record, *PARAMETERS).out.endswith(
        f"0 new\nhead    {head}\n"
    )


def test_a_post_is_cut_where_a_channel_would_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "update.txt").write_text("{{ what }}", "utf-8")
    template = PostText(PostSettings(templates=tmp_path))
    assert template.of("update", {"what": "a" * 4000}) == ("a" * 4000, "")
    assert template.of("update", {"what": "a" * 4001}) == ("a" * 3999 + "\N{HORIZONTAL ELLIPSIS}", "")


@pytest.mark.parametrize(
    ("markup", "expected"),
    [
        ("plain", "<b>*x*_y_</b> [a](b)"),
        ("markdown", r"<b\>\*x\*\_y\_</b\> \[a\]\(b\)"),
        ("html", "&lt;b&gt;*x*_y_&lt;/b&gt; [a](b)"),
    ],
)
def test_what_a_channel_reads_as_markup_is_escaped(markup: str, expected: str) -> None:
    assert escaper(markup)("<b>*x*_y_</b> [a](b)\x07\u202e") == expected


def test_the_address_of_pictures_keeps_calls_equal_byte_for_byte(tmp_path: Path) -> None:
    """In a rehearsal: the same URL in the backtest, over HTTP and in the journal."""
    journal = tmp_path / "paper.sqlite"
    url = "https://channel.example/pictures/"
    emit = ("emit", BREAKOUT, "--paper", "--candles", "sample:ETH/USD:1d", "--journal", journal)
    done = backtest(*emit, "--attachments-url", url)
    assert done.status == 0, done
    assert "PARITY: the rehearsal equals the backtest" in done.out
    with Journal(journal) as book:
        bodies = [json.loads(each.body) for each in book.intents() if each.creates]
        tags = [row.tag for row in book.signals()]
    assert [body["attachment_image1_url"] for body in bodies] == [f"{url}{tag}.png" for tag in tags]
    found = backtest("reconcile", journal, "--strategy", BREAKOUT, "--candles", "sample:ETH/USD:1d")
    assert found.status == 0, found.out
    assert re.match(r"(\d+) of \1 calls equal; every candle as it was acted on\n", found.out)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"attachments_url": "channel.example/p"}, "posts.attachments_url"),
        ({"attachments_url": "https://channel.example/p"}, "posts.folder, where they are written, is not set"),
        ({"markup": "telegram"}, "posts.markup"),
        ({"templates": "nowhere"}, "posts.templates is a folder"),
        ({}, "posts go nowhere"),
    ],
)
def test_settings_that_do_not_fit_are_one_sentence(tmp_path: Path, said: dict[str, str], sentence: str) -> None:
    emitted(tmp_path, HISTORY + 20)
    done = backtest("emit", "post", "--config", config(tmp_path, **said))
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert sentence in done.err
