"""Page: a whole result as one HTML file that asks the network for nothing.

Order: verdict, chart, figures, further sections, trades, signals step by step, calls and origin folded. A further section is
a :class:`Section`, a title with tables: breakdowns, subscribers and comparisons are added that way and need no markup.
"""

from backtest.report.page.plain import sections_html
from backtest.report.page.section import PageTable, Section, Titled
from backtest.report.page.verdict import Fact
from backtest.report.page.whole import page_html, write_page

__all__ = ["Fact", "PageTable", "Section", "Titled", "page_html", "sections_html", "write_page"]
