"""Style of the report page: one sheet, light and dark, no font and no picture from elsewhere."""

from __future__ import annotations

__all__ = ["CSS"]

CSS = """
:root { --ground: #fff; --ink: #1d2330; --soft: #5b6472; --line: #dfe3e8; --panel: #f5f7f9; --blue: #0062a3;
  --warn: #8a4b00; --warn-ground: #fff6e5; color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --ink: #e4e8ee; --soft: #9aa4b2; --line: #2c323b;
  --panel: #1b2027; --blue: #6cb8ee; --warn: #ffc46b; --warn-ground: #2b2315; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0; max-width: 52rem; }
a { color: var(--blue); }
nav { margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .9rem; }
.soft, .subject { color: var(--soft); }
.subject { margin-top: .3rem; overflow-wrap: anywhere; }
.interval { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
  margin: 1.4rem 0 .8rem; }
.mode { background: var(--panel); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem 1rem; }
.mode b { display: block; font-size: 1.7rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.mode span { color: var(--soft); font-size: .85rem; }
.chosen { border-color: var(--blue); box-shadow: inset 0 0 0 1px var(--blue); }
.warning { background: var(--warn-ground); color: var(--warn); border-radius: .4rem; padding: .5rem .9rem;
  margin: .5rem 0; max-width: none; overflow-wrap: anywhere; }
.scroll { overflow: auto; max-height: 32rem; border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .28rem .5rem; vertical-align: top; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
th { position: sticky; top: 0; background: var(--panel); font-weight: 600; white-space: nowrap; }
table:not(:has(thead)) td:first-child { width: 34%; }
.n { text-align: right; white-space: nowrap; }
.t { white-space: nowrap; }
.figures td { width: 14%; }
.figures td:first-child { width: 22%; }
.figures td:last-child { color: var(--soft); width: auto; }
img { display: block; width: 100%; height: auto; margin: .5rem 0 1rem; }
pre, code { font: .82rem/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "Liberation Mono", monospace; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: .4rem; padding: .6rem .9rem;
  margin: .3rem 0;  white-space: pre-wrap; overflow-wrap: break-word; }
td { overflow-wrap: break-word; }
td:last-child { overflow-wrap: anywhere; }
.list { overflow: auto; max-height: 40rem; }
.list .scroll { max-height: none; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .35rem 0; padding: 0 .8rem; }
details[open] { padding-bottom: .6rem; }
summary { cursor: pointer; padding: .4rem 0; overflow-wrap: anywhere; }
:target { border-color: var(--blue); }
.figures .scroll { max-height: none; }
.chart { overflow-x: auto; }
@media (max-width: 44rem) { body { padding: 1.2rem 1rem 3rem; } .chart img { min-width: 44rem; }
  .figures table, .figures thead, .figures tbody { display: block; }
  .figures tr { display: flex; flex-wrap: wrap; border-bottom: 1px solid var(--line); }
  .figures tbody tr:last-child { border-bottom: 0; }
  .figures th, .figures td { border-bottom: 0; }
  .figures td, .figures td:first-child { width: auto; }
  .figures tr > :first-child { flex: 1 1 0; }
  .figures .n { flex: 0 0 7rem; }
  .figures td:last-child { flex: 0 0 100%; padding-top: 0; }
  .figures th:last-child { display: none; } }
@media print { .scroll, .list { max-height: none; overflow: visible; } body { max-width: none; }
  nav { display: none; } }
"""
