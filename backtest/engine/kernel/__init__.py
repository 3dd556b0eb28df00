"""Kernel: the signal lifecycle of lifecycle.md over arrays of records, one module a family of rules.

Everything is written for a long; a short is its mirror image: prices are compared after multiplying by the side, so
that ``side * price`` rises when the position gains. Only journey, colour and the order of ties belong to the candle
(L2). The wrapper (:mod:`backtest.engine.simulator`) validates and sizes the buffers; the kernel trusts.

Modules import strictly down, as ``pyproject.toml`` lists them. Rules of one book take a ``View`` of it, those of the
whole account the world (a ``WORLD`` record) and the position of a market; ``slot`` is the position of a signal in its book.
"""
