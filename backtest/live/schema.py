"""Schema: the six tables of the journal, and what may never be changed in them."""

from __future__ import annotations

__all__ = ["SCHEMA", "VERSION", "WAITING"]

VERSION = 2

WAITING = "state IN ('planned', 'sending', 'unknown')"
"""What a question about these states must say word for word, so that the index of the waiting few answers it."""

_APPEND_ONLY = """
CREATE TRIGGER {table}_is_kept BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append only'); END;
CREATE TRIGGER {table}_is_final BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{table} is append only'); END;
"""

_TABLES = f"""
CREATE TABLE run (
    id INTEGER PRIMARY KEY AUTOINCREMENT, started_at INTEGER NOT NULL, mode TEXT NOT NULL, account TEXT NOT NULL,
    code_hash TEXT NOT NULL, config_hash TEXT NOT NULL);
CREATE TABLE cursor (
    strategy TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL, anchor INTEGER NOT NULL,
    time INTEGER NOT NULL, row_hash TEXT NOT NULL, PRIMARY KEY (strategy, symbol, timeframe));
CREATE TABLE signal (
    ref TEXT NOT NULL, strategy TEXT NOT NULL, symbol TEXT NOT NULL, tag TEXT, parent_signal_id TEXT UNIQUE,
    state TEXT NOT NULL DEFAULT 'planned'
        CHECK (state IN ('planned', 'living', 'unknown', 'dead', 'canceled', 'ended')),
    wished TEXT NOT NULL, confirmed TEXT NOT NULL DEFAULT '{{}}', PRIMARY KEY (strategy, ref));
CREATE TABLE intent (
    id TEXT PRIMARY KEY, strategy TEXT NOT NULL, symbol TEXT NOT NULL, timeframe TEXT NOT NULL,
    candle INTEGER NOT NULL, kind TEXT NOT NULL, level TEXT NOT NULL, number INTEGER NOT NULL, body TEXT NOT NULL,
    valid_until INTEGER, allow_marketable INTEGER NOT NULL DEFAULT 0, seq INTEGER NOT NULL UNIQUE, class TEXT NOT NULL CHECK (class IN ('N', 'I')),
    state TEXT NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'sending', 'acked', 'rejected', 'unknown',
        'expired', 'superseded', 'blocked', 'landed', 'not_landed', 'abandoned')),
    note TEXT NOT NULL DEFAULT '', FOREIGN KEY (strategy, level) REFERENCES signal (strategy, ref));
CREATE INDEX intent_waiting ON intent (state, seq) WHERE {WAITING};
CREATE INDEX intent_of_signal ON intent (strategy, level);
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY AUTOINCREMENT, intent TEXT NOT NULL REFERENCES intent, phase TEXT NOT NULL
        CHECK (phase IN ('start', 'end')),
    at INTEGER NOT NULL, outcome TEXT NOT NULL DEFAULT ''
        CHECK (outcome IN ('', 'acked', 'rejected', 'later', 'not_sent', 'lost')),
    http_status INTEGER, result_type TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
    response TEXT NOT NULL DEFAULT '');
CREATE INDEX attempt_of_intent ON attempt (intent);
CREATE TABLE decision (
    id INTEGER PRIMARY KEY AUTOINCREMENT, intent TEXT NOT NULL REFERENCES intent, at INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('landed', 'not_landed', 'abandoned')), parent_signal_id TEXT);
CREATE TRIGGER intent_is_kept BEFORE DELETE ON intent BEGIN SELECT RAISE(ABORT, 'an intent is kept'); END;
CREATE TRIGGER intent_says_the_same BEFORE UPDATE OF id, strategy, symbol, timeframe, candle, kind, level, number,
    body, valid_until, allow_marketable, seq, class ON intent BEGIN SELECT RAISE(ABORT, 'an intent is final'); END;
CREATE TRIGGER parent_is_final BEFORE UPDATE OF parent_signal_id ON signal
    WHEN OLD.parent_signal_id IS NOT NULL AND NEW.parent_signal_id IS NOT OLD.parent_signal_id
    BEGIN SELECT RAISE(ABORT, 'the name of a signal is final'); END;
"""

SCHEMA = _TABLES + "".join(_APPEND_ONLY.format(table=table) for table in ("run", "attempt", "decision"))
"""SQL, to be executed once, in one transaction."""
