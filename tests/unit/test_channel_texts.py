"""The grammar of channels on labelled texts: none misread, most read, each refusal with its reason."""

from __future__ import annotations

import pytest

from tests.channel_texts import judged

ACTS = {"create", "update", "cancel", "report"}


@pytest.mark.parametrize("file", ["texts.toml", "held_out.toml"])
def test_no_text_is_misread(file: str) -> None:
    assert [one for one in judged(file) if one.verdict == "misread"] == []


def test_of_what_a_reader_could_read_at_least_85_percent_is_read() -> None:
    readable = [one for one in judged("texts.toml") if one.label in ACTS]
    assert len(judged("texts.toml")) >= 120
    assert len(readable) >= 90
    assert sum(one.verdict == "right" for one in readable) >= 0.85 * len(readable)


def test_chatter_is_left_alone() -> None:
    chatter = [one for one in judged("texts.toml") if one.label == "chatter"]
    assert sum(one.verdict == "right" for one in chatter) >= 0.9 * len(chatter)


def test_what_nobody_may_read_is_refused_for_its_reason() -> None:
    assert [one for one in judged("texts.toml") if one.verdict == "reason"] == []
    assert all(one.why for file in ("texts.toml", "held_out.toml") for one in judged(file) if one.verdict == "refused")
