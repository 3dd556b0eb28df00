"""Fragments: HTML for notebooks and small pages, made from templates that escape whatever they are given."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from backtest.report.policy import policy_of

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["fragment"]

_TEMPLATES = {
    "tables": """\
{% for table in tables %}<section><h4>{{ table.title }}</h4><p>{{ table.note(most) }}</p>
{% if table.frame|length %}{% set figures = table.figures %}<div style="overflow-x:auto"><table><thead><tr>
{% for name in table.head %}<th style="text-align:{{ 'right' if loop.index0 in figures else 'left' }}">{{ name }}</th>{% endfor %}
</tr></thead><tbody>
{% for row in table.cells(most) %}<tr>
{% for cell in row %}<td style="text-align:{{ 'right' if loop.index0 in figures else 'left' }}">{{ cell }}</td>{% endfor %}
</tr>{% endfor %}</tbody></table></div>{% endif %}</section>
{% endfor %}""",
    "lines": """\
<p><b>{{ title }}</b></p>{% for line in lines %}<p>{{ line }}</p>{% endfor %}
{% if rows %}<div style="overflow-x:auto"><table><thead><tr>
{% for name in head %}<th style="text-align:left">{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for cell in row %}<td style="text-align:left;vertical-align:top{{ ';white-space:nowrap' if loop.first }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% endif %}
{% if picture %}<img src="data:image/png;base64,{{ picture }}" alt="{{ says }}">{% endif %}""",
    "page": """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">
<link rel="icon" href="data:,"><title>{{ title }}</title><style>{{ css|safe }}</style></head>
<body><main><h1>{{ title }}</h1>
{% for line in lines %}<p>{{ line }}</p>
{% endfor %}
{% if picture %}<img src="data:image/png;base64,{{ picture }}" alt="{{ says }}">{% endif %}
{% for table in tables %}<section><h2>{{ table.title }}</h2><p class="soft">{{ table.note(most) }}</p>
{% if table.frame|length %}{% set figures = table.figures %}<div class="scroll" tabindex="0" role="region" aria-label="{{ table.title }}"><table><thead><tr>
{% for name in table.head %}<th{% if loop.index0 in figures %} class="n"{% endif %}>{{ name }}</th>{% endfor %}
</tr></thead><tbody>
{% for row in table.cells(most) %}<tr>
{% for cell in row %}<td{% if loop.index0 in figures %} class="n"{% endif %}>{{ cell }}</td>{% endfor %}
</tr>
{% endfor %}</tbody></table></div>{% endif %}</section>
{% endfor %}</main></body></html>
""",
    "chart": """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<title>{{ title }}</title><style>{{ style|safe }}</style></head>
<body><div id="chart"></div><script type="text/plain" id="packed">{{ packed }}</script>
{% for script in code %}<script>{{ script|safe }}</script>
{% endfor %}</body></html>""",
    "frame": """\
<iframe srcdoc="{{ page }}" style="width:100%;height:{{ height }}px;border:0" title="{{ title }}" loading="lazy"></iframe>""",
}

_CSS = """\
:root { color-scheme: light dark; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; background: light-dark(#fff, #16181c); color: light-dark(#1c1e21, #e4e6ea); }
main { max-width: 1200px; margin: 0 auto; padding: 1rem; }
img { max-width: 100%; height: auto; background: #fff; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { padding: 0.2rem 0.7rem; text-align: left; border-bottom: 1px solid light-dark(#d8dbe0, #383c44); vertical-align: top; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.soft { color: light-dark(#55585e, #a8adb6); }
"""


@cache
def _environment() -> Environment:
    from jinja2 import DictLoader, Environment

    return Environment(loader=DictLoader(_TEMPLATES), autoescape=True, trim_blocks=True)


def fragment(name: str, **values: Any) -> str:
    """Return a piece of HTML.

    Parameters
    ----------
    name
        Of the template: ``tables``, ``lines``, ``chart``, ``frame`` or ``page``.
    values
        What it shows; every text is escaped.
    """
    if name == "page":
        values |= {"css": _CSS, "policy": policy_of(_CSS)}
    return _environment().get_template(name).render(**values)
