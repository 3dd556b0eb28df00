"""Kernel: the signal lifecycle of lifecycle.md over arrays of records, one module a family of rules.

Everything is written for a long; a short is its mirror image: prices are compared after multiplying by the side, so that
``x = side * price`` rises when the position gains. Only journey, colour and the order of ties belong to the candle (L2).
The wrapper (:mod:`backtest.engine.simulator`) validates and sizes the buffers; the kernel trusts.

Modules import strictly down: ``walk``, ``journeys``, ``calls``, ``limits``, ``band``, ``closing``, ``path``, ``actions``,
``fills``, ``liquidation``, ``protection``, ``ending``, ``ledger``, ``grid``, ``compiled``.

Arguments that recur
--------------------
a : account record            S : (n,) signal records of one book    O : (n,) order records of that book
b : book record               m : market record                      c : config record (profile and assumptions)
E : event buffer              T : trade buffer                       i : position of a signal in S
"""
