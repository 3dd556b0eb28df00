"""The pages of the rules, the assumptions and the statistics, from what the package itself says of them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from backtest import Candles, VenueAssumptions, load_strategy, run
from backtest.model.rule import Rule

__all__ = ["assumptions_page", "glossary_page", "rule_pages"]

ROOT = Path(__file__).parents[2]
FAMILIES = {
    1: "Time",
    2: "Journeys",
    3: "Fills",
    4: "Entry",
    5: "Size",
    6: "Targets",
    7: "Stop loss",
    8: "Trailing stop",
    9: "Take profit call",
    10: "Rebuy and DCA",
    11: "Update prices",
    12: "Cancel and the end",
    13: "Futures and margin",
    14: "Account",
}
OTHERS = {
    "sharpe": "QuantStats leaves out leading days without a position and gets a higher figure; vectorbt takes the returns of candles, not of days",
    "sortino": "empyrical and QuantStats divide by the deviation below 0 over all days, as here; backtesting.py takes the losing days alone",
    "calmar": "QuantStats and empyrical take the drawdown of daily closes, so a shallower one",
    "max_drawdown": "QuantStats and jesse see daily closes only; backtesting.py and vectorbt every candle's close; none of them the worst price of a position that is held",
    "cagr": "peers for stocks count 252 days a year, and QuantStats calendar days between first and last return",
    "volatility": "peers for stocks take the square root of 252",
    "win_rate": "QuantStats counts days that won, not trades",
    "profit_factor": "QuantStats divides days that won by days that lost, not trades",
    "exposure": "vectorbt counts candles whose close has a position; here a position at any time in the candle counts",
}
"""Who defines a figure otherwise; read off their code."""


def rule_pages(drawn: dict[str, str]) -> dict[str, str]:
    """Return the pages of the rules, a page a family, with each scenario that says in its reason that it shows one.

    Parameters
    ----------
    drawn
        The reason of each scenario, by its name; its drawing is ``drawings/NAME.svg``.
    """
    families = {number: [rule for rule in Rule if rule.value.startswith(f"L{number}.")] for number in FAMILIES}
    pages = {"rules/index.md": _index(families)}
    listed = VenueAssumptions().listed()
    for number, rules in families.items():
        intro = ROOT / "docs" / "rules" / f"_l{number}.md"
        text = f"# L{number} {FAMILIES[number]}\n\n{intro.read_text('utf-8') if intro.exists() else ''}\n"
        text += "| rule | |\n|---|---|\n" + "".join(f"| **{r.value}** | {r.sentence} |\n" for r in rules)
        ours = [one for one in listed if re.match(rf"L{number}\.", one.rule)]
        if ours:
            text += "\n## What is assumed\n\n| rule | name | value | | |\n|---|---|---|---|---|\n"
            text += "".join(f"| {a.rule} | `{a.name}` | {_value(a.value)} | {a.status} | {a.text} |\n" for a in ours)
        shown = [name for name, why in drawn.items() if why and _family(why, name) == number]
        if shown:
            text += (
                "\n## Worked examples\n\nEach is a file in `tests/scenarios`, derived by hand, that the engine and a"
            )
            text += " second engine written from the rules' text have to reproduce.\n"
            text += "".join(_example(name, drawn[name]) for name in shown)
        pages[f"rules/l{number}.md"] = text
    return pages


def _index(families: dict[int, list[Rule]]) -> str:
    text = (ROOT / "docs" / "rules" / "_index.md").read_text("utf-8")
    text += "\n| family | rules |\n|---|---|\n"
    return text + "".join(
        f"| [L{number} {FAMILIES[number]}](l{number}.md) | {len(rules)} |\n" for number, rules in families.items()
    )


def _family(why: str, name: str) -> int:
    """Return the family of a scenario: that of the first rule its reason names; of a golden case what it is about."""
    found = re.search(r"\bL(\d+)\.\d", why)
    if found:
        return int(found[1])
    golden = {
        "g11": 3,
        "g08": 3,
        "g09": 3,
        "g10": 3,
        "g12": 10,
        "g13": 10,
        "g15": 13,
        "g16": 11,
        "g17": 4,
        "g18": 2,
        "g06": 6,
        "g05": 6,
    }
    return golden.get(name[:3], 2)


def _example(name: str, why: str) -> str:
    title = re.sub(r"^g\d+-", "", name).replace("-", " ")
    return f"\n### {title[0].upper()}{title[1:]}\n\n{why}\n\n![{title}](../drawings/{name}.svg)\n"


def assumptions_page() -> str:
    """Return the page of all assumptions, those with a switch first."""
    head = (ROOT / "docs" / "rules" / "_assumptions.md").read_text("utf-8")
    rows = VenueAssumptions().listed()
    known = set(VenueAssumptions().to_dict())
    groups = itertools.groupby(rows, key=lambda one: one.name in known)
    text = head
    for switch, ours in groups:
        text += f"\n## {'With a switch' if switch else 'Without a switch'}\n\n| rule | name | value | status | |\n|---|---|---|---|---|\n"
        text += "".join(
            f"| [{a.rule}](l{a.rule[1:].partition('.')[0]}.md) | `{a.name}` | {_value(a.value)} | {a.status} | {a.text} |\n"
            for a in ours
        )
    return text


def _value(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def glossary_page() -> str:
    """Return the page of the statistics: label, key, unit, definition, and who defines it otherwise."""
    head = (ROOT / "docs" / "_statistics.md").read_text("utf-8")
    strategy = load_strategy(str(ROOT / "strategies" / "breakout.py"))()
    stats = run(strategy, Candles.sample("BTC/USD", "1d")).stats
    text = head
    for group, rows in stats.groups.items():
        text += f"\n## {group}\n\n| figure | key | unit | definition |\n|---|---|---|---|\n"
        for row in rows:
            what = row.definition + (f". *Otherwise:* {OTHERS[row.key]}" if row.key in OTHERS else "")
            text += f"| {row.label} | `{row.key}` | {row.unit} | {what}. |\n".replace("..", ".")
    return text
