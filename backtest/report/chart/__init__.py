"""Chart: the interactive chart of the report, the notebooks and the dashboard.

Python says what is drawn (:class:`ChartInput`) and packs it into one text; a page holds that text, the sheet and the
scripts, and nothing is asked of the network::

    from backtest.report.chart import ChartInput, SignalLife, chart_of, pack, scripts, sheet

    text = pack(chart_of(tables))                    # a saved run
    text = pack(ChartInput((prices,), signals=lives))   # or anything else, a living session for one

    <style>{{ sheet() }}</style>
    <div id="chart"></div>
    <script type="text/plain" id="packed">{{ text }}</script>
    {% for script in scripts() %}<script>{{ script }}</script>{% endfor %}
    <script>
      SignalChart.unpack(document.getElementById("packed").textContent).then(function (data) {
        var chart = SignalChart.mount(document.getElementById("chart"), data, { height: 560 });
      });
    </script>

``mount(element, data, options)`` returns a handle (options: ``height``, ``hash: true`` to follow and write ``#signal-12``,
``keys: true`` for n and p everywhere on the page, ``onSelect(number)``):

=========================== =============================================================================================
``flyTo(number)``           show the signal of this number and select it; false where there is none
``step(+1)``, ``step(-1)``  the next and the previous signal that traded
``show(from, to)``          a window, UTC ms; ``all()`` shows everything
``append(candle)``          live: ``{time, open, high, low, close}``, time in UTC ms; the same time again replaces the last.
                            ``append(candle, symbol)`` where there are several markets
``setSignals(list)``        live: all signals anew, as :meth:`SignalLife.to_dict` gives them
``theme("dark")``           ``"light"``, ``"dark"`` or ``"auto"``, which follows the system
``market(symbol)``          another market
``destroy()``               take it away
=========================== =============================================================================================

Live data needs no packing: ``data`` may be plain JSON, a market with ``candles: [{time, open, high, low, close}, ...]``,
``step`` (ms) and ``decimals`` in place of packed columns, and ``signals`` as above::

    SignalChart.mount(
        element,
        {
            quote: "USDT",
            signals: [],
            markets: [{symbol: "BTC/USDT", timeframe: "1h", step: 3600000, decimals: 2, candles: [...]}],
        },
    )

Under a Content-Security-Policy each script and the sheet are allowed by their hash; nothing else is needed.
The library that draws is TradingView's lightweight-charts, unchanged, under the Apache License 2.0: its licence and notice
lie beside it in ``assets``, and every chart carries a link to TradingView.
"""

from backtest.report.chart.of_result import chart_of
from backtest.report.chart.packing import pack
from backtest.report.chart.shapes import Account, ChartInput, Fill, Indicator, Prices, SignalLife, Trip
from backtest.report.chart.shipped import scripts, sheet

__all__ = [
    "Account",
    "ChartInput",
    "Fill",
    "Indicator",
    "Prices",
    "SignalLife",
    "Trip",
    "chart_of",
    "pack",
    "scripts",
    "sheet",
]
