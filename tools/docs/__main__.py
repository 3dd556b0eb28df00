"""Build the documentation: ``python -m tools.docs``, from docs/ and from what the package itself says.

The pages in docs/ are written by hand. What the code knows better is made at each build and never committed: the pages
of the rules with a drawing of every scenario, the assumptions, the glossary of statistics, the commands, the report on
the front page. Everything comes to lie in ``build/docs``, from which zensical makes ``build/site``; a dead link ends the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.docs.commands import commands_page
from tools.docs.drawings import draw
from tools.docs.reference import assumptions_page, glossary_page, rule_pages

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs"
MADE = ROOT / "build" / "docs"
SITE = ROOT / "build" / "site"
SCENARIOS = ROOT / "tests" / "scenarios"


def main() -> int:
    """Build the site and return the exit status of zensical."""
    gather()
    settings = re.sub(r"(?m)^site_dir:.*$", "site_dir: site", (ROOT / "mkdocs.yml").read_text("utf-8"))
    (MADE.parent / "mkdocs.yml").write_text(settings, "utf-8")  # it takes paths below its own folder alone
    shutil.rmtree(SITE, ignore_errors=True)
    built = subprocess.run(
        [Path(sys.executable).parent / "zensical", "build", "--clean", "--strict", "-f", MADE.parent / "mkdocs.yml"],
        cwd=ROOT,
        check=False,
    ).returncode
    if built == 0:
        print(f"docs    {SITE.relative_to(ROOT)}/index.html")
    return built


def gather() -> None:
    """Lay out build/docs: the pages by hand, and those that are made."""
    shutil.rmtree(MADE, ignore_errors=True)
    shutil.copytree(PAGES, MADE)
    drawn, seen = {}, set[str]()
    (MADE / "drawings").mkdir()
    for path in sorted(SCENARIOS.glob("*.json")):
        drawing, why = draw(path)
        (MADE / "drawings" / f"{path.stem}.svg").write_text(drawing, "utf-8")
        drawn[path.stem] = why if drawing not in seen else ""  # a case in three readings is drawn once
        seen.add(drawing)
    for name, text in {
        **rule_pages(drawn),
        "rules/assumptions.md": assumptions_page(),
        "statistics.md": glossary_page(),
        "commands.md": commands_page(),
    }.items():
        (MADE / name).parent.mkdir(exist_ok=True)
        (MADE / name).write_text(text, "utf-8")
    for part in MADE.rglob("_*.md"):  # what stands above a table that is made
        part.unlink()
    front_report(MADE / "report.html")


def front_report(path: Path) -> None:
    """Write the report that the front page shows: the shipped strategy over the shipped candles."""
    from backtest import Candles, load_strategy, run

    strategy = load_strategy(str(ROOT / "strategies" / "breakout.py"))(lookback=72)
    run(strategy, Candles.sample("BTC/USD", "1h")).report(path)


if __name__ == "__main__":
    sys.exit(main())
