/* Chart: candles with the lives of signals, equity with its three readings, drawdown, indicators.

   SignalChart.mount(element, data, options) returns a handle; see the docstring of backtest.report.chart.

   The window in view is kept here, in rows of the finest candles, and is the only truth: wheel, drag, pinch and keys move it,
   once a frame it is drawn, from the grain that fits the width. The library's own scrolling is off: following its events
   raced with the change of grain. */
(function (SC) {
  "use strict";

  var L = window.LightweightCharts;
  var MOST = 1400;   // candles in view
  var LEAST = 12;
  var PANES = [6, 1.9, 1.3];
  var DAY = 86400000;
  var RANGES = [["all", "All"], [365, "1Y"], [91, "3M"], [30, "1M"], [7, "1W"], [1, "1D"]];
  var LINES = ["line1", "line2", "line3", "line4"];

  /* ---------------------------------------------------------------- small helpers */

  var make = SC.make = function (name, attributes, children) {
    var element = document.createElement(name);
    Object.keys(attributes || {}).forEach(function (key) {
      if (key === "text") element.textContent = attributes[key];
      else if (key.slice(0, 2) === "on") element.addEventListener(key.slice(2), attributes[key]);
      else element.setAttribute(key, attributes[key]);
    });
    (children || []).forEach(function (child) { element.append(child); });
    return element;
  };

  function two(x) { return (x < 10 ? "0" : "") + x; }

  function when(ms) {
    var d = new Date(ms);
    return d.getUTCFullYear() + "-" + two(d.getUTCMonth() + 1) + "-" + two(d.getUTCDate()) + " " + two(d.getUTCHours()) + ":" + two(d.getUTCMinutes());
  }

  function number(x, decimals) {
    if (x === null || x === undefined || x !== x) return "n/a";
    return x.toLocaleString("en-US", { minimumFractionDigits: Math.min(decimals, 12), maximumFractionDigits: Math.min(decimals, 12) });
  }

  function signed(x, decimals) {
    return (x > 0 ? "+" : "") + number(x, decimals);
  }

  /* ---------------------------------------------------------------- mount */

  SC.mount = function (root, data, options) {
    return new Chart(root, data, options || {}).handle();
  };

  function Chart(root, data, options) {
    this.root = root;
    this.data = data;
    this.options = options;
    this.made = {};            // series by symbol
    this.chosen = null;        // number of the selected signal
    this.frame = 0;
    this.loaded = null;        // {level, from, to} as the library holds it
    this.stale = true;         // whether that is to be loaded anew
    this.window = [0, 1];
    this.isLog = false;
    this.hidden = {};          // indicators switched off, by name
    this.signals = data.signals || [];
    this.listeners = [];
    root.classList.add("sc");
    root.replaceChildren();
    this.build();
    this.picture();
    this.gestures();
    this.market((data.markets[0] || {}).symbol);
    if (options.hash) this.hash();
  }
  var proto = Chart.prototype;

  proto.handle = function () {
    var self = this;
    return {
      flyTo: function (n) { return self.flyTo(n); },
      step: function (by) { self.step(by); },
      show: function (from, to) { self.want(self.series.row(from), self.series.row(to) + 1); },
      all: function () { self.all(); },
      append: function (candle, symbol) { self.append(candle, symbol); },
      setSignals: function (list) { self.setSignals(list); },
      theme: function (name) { self.theme(name); },
      market: function (symbol) { self.market(symbol); },
      destroy: function () { self.destroy(); },
      view: function () { return [self.series.time(Math.floor(self.window[0])), self.series.time(Math.ceil(self.window[1]))]; },
      selected: function () { return self.chosen; }
    };
  };

  proto.listen = function (target, name, what, how) {
    target.addEventListener(name, what, how);
    this.listeners.push(function () { target.removeEventListener(name, what, how); });
  };

  /* ---------------------------------------------------------------- what stands around the picture */

  proto.build = function () {
    var self = this, bar = make("div", { class: "sc-bar", role: "group", "aria-label": "Chart controls" });
    if (this.data.markets.length > 1) {
      this.select = make("select", { "aria-label": "Market", onchange: function () { self.market(self.select.value); } },
        this.data.markets.map(function (m) { return make("option", { value: m.symbol, text: m.symbol }); }));
      bar.append(this.select);
    }
    var ranges = make("span", { class: "sc-group", role: "group", "aria-label": "Range" });
    this.ranges = RANGES.map(function (range) {
      var says = range[0] === "all" ? "Show everything" : "Show " + range[0] + (range[0] === 1 ? " day" : " days");
      var button = make("button", { type: "button", text: range[1], title: says, onclick: function () { self.range(range[0]); } });
      ranges.append(button);
      return button;
    });
    this.back = make("button", { type: "button", text: "‹ Trade", title: "Previous trade (p)", onclick: function () { self.step(-1); } });
    this.forth = make("button", { type: "button", text: "Trade ›", title: "Next trade (n)", onclick: function () { self.step(1); } });
    this.logButton = make("button", { type: "button", text: "Log", title: "Logarithmic prices (l)", "aria-pressed": "false", onclick: function () { self.log(); } });
    bar.append(ranges, make("span", { class: "sc-group", role: "group", "aria-label": "Trades" }, [this.back, this.forth]), make("span", { class: "sc-group" }, [this.logButton]));
    this.chips = make("span", { class: "sc-group sc-chips", role: "group", "aria-label": "Indicators" });
    bar.append(this.chips);
    this.legend = make("div", { class: "sc-legend", "aria-hidden": "true" });
    this.plot = make("div", { class: "sc-plot", tabindex: "0", role: "img" });
    this.plot.style.height = (this.options.height || 560) + "px";
    this.titles = []; // of the lower panes, in their corners
    this.tip = make("div", { class: "sc-tip", "aria-hidden": "true" });
    this.stage = make("div", { class: "sc-stage" }, [this.plot, this.legend, this.tip]);
    this.says = make("p", { class: "sc-says", "aria-live": "polite" });
    this.key = make("div", { class: "sc-key" });
    this.below = make("p", { class: "sc-notice" }, [
      "Times are UTC. Wheel, pinch or + and − zoom, drag or ← and → move, n and p go from trade to trade. ",
      this.data.note ? this.data.note + " " : "",
      "Charts by ", make("a", { href: "https://www.tradingview.com/", rel: "noopener noreferrer", text: "TradingView" }), " Lightweight Charts™."
    ]);
    this.root.append(bar, this.stage, this.says, this.key, this.below);
  };

  proto.keyOfMarks = function () {
    var self = this, seen = {}, colors = this.palette, ratio = Math.min(3, window.devicePixelRatio || 1);
    var own = this.signals.filter(function (s) { return s.symbol === self.series.symbol; });
    own.forEach(function (s) {
      s.fills.forEach(function (f) { seen[f.kind === "entered" ? (s.side < 0 ? "short entry" : "long entry") : f.kind] = [f.kind, s.side]; });
    });
    var entries = Object.keys(seen).sort().map(function (name) {
      var canvas = make("canvas", { width: 14 * ratio, height: 14 * ratio, "aria-hidden": "true" });
      var g = canvas.getContext("2d");
      g.scale(ratio, ratio);
      SC.shape(g, seen[name][0], 7, 7, 5, seen[name][0] === "entered" || seen[name][0] === "dca_filled" ? -seen[name][1] : -1, colors);
      return make("span", {}, [canvas, SC.LABELS[name] || name]);
    });
    var lines = [];
    if (own.some(function (s) { return s.entry.length; })) lines.push(["zone", "entry zone"]);
    if (own.some(function (s) { return s.targets.length; })) lines.push(["dots", "targets"]);
    if (own.some(function (s) { return s.stop.length; })) lines.push(["stop", "path of the stop"]);
    if (this.series.hasAccount) lines.push(["band", "three readings of the candles"]);
    this.key.replaceChildren.apply(this.key, entries.concat(lines.map(function (line) {
      return make("span", {}, [make("i", { class: "sc-" + line[0], "aria-hidden": "true" }), line[1]]);
    })));
  };

  proto.chipsOf = function () {
    var self = this;
    this.chips.replaceChildren.apply(this.chips, this.series.indicators.map(function (one, k) {
      var on = !self.hidden[one.name];
      return make("button", {
        type: "button", text: one.name, class: "sc-chip sc-" + LINES[k % LINES.length], "aria-pressed": String(on), title: "Indicator " + one.name,
        onclick: function (event) {
          self.hidden[one.name] = !self.hidden[one.name];
          event.currentTarget.setAttribute("aria-pressed", String(!self.hidden[one.name]));
          self.curves();
          self.draw(true);
          requestAnimationFrame(function () { self.place(); }); // panes have their heights only once they are painted
        }
      });
    }));
  };

  /* ---------------------------------------------------------------- the library */

  proto.colors = function () { return this.palette; };

  proto.readColors = function () {
    var style = getComputedStyle(this.root), palette = {};
    ["ground", "ink", "soft", "line", "up", "down", "wick", "entry", "short", "target", "stop", "cancel", "target-ink", "stop-ink",
      "zone", "select", "equity", "band", "fall", "fall-soft", "line1", "line2", "line3", "line4"].forEach(function (name) {
      palette[name.replace(/-(.)/, function (_, c) { return c.toUpperCase(); })] = style.getPropertyValue("--sc-" + name).trim();
    });
    this.palette = palette;
    return palette;
  };

  proto.look = function () {
    var c = this.palette;
    return {
      layout: { background: { type: "solid", color: c.ground }, textColor: c.soft, attributionLogo: false, fontSize: 11, fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", panes: { separatorColor: c.line, separatorHoverColor: c.line, enableResize: false } },
      grid: { vertLines: { color: c.line, visible: false }, horzLines: { color: c.line } },
      timeScale: { borderColor: c.line, timeVisible: true, secondsVisible: false, minBarSpacing: 0.2, shiftVisibleRangeOnNewBar: false, rightOffset: 0 },
      rightPriceScale: { borderColor: c.line, scaleMargins: { top: 0.14, bottom: 0.06 } },
      crosshair: { mode: 0, vertLine: { color: c.soft, width: 1, style: 3, labelBackgroundColor: c.soft }, horzLine: { color: c.soft, width: 1, style: 3, labelBackgroundColor: c.soft } },
      localization: { locale: "en-US", timeFormatter: function (t) { return when(t * 1000); } },
      handleScroll: false,
      handleScale: { mouseWheel: false, pinch: false, axisPressedMouseMove: { time: false, price: true }, axisDoubleClickReset: { time: false, price: true } }
    };
  };

  proto.picture = function () {
    var self = this, c = this.readColors();
    this.lib = L.createChart(this.plot, Object.assign({ width: this.plot.clientWidth || 600, height: this.plot.clientHeight || 400 }, this.look()));
    this.ts = this.lib.timeScale();
    var quiet = { priceLineVisible: false, lastValueVisible: false };
    this.candles = this.lib.addSeries(L.CandlestickSeries, Object.assign({}, quiet, this.candleLook()), 0);
    var about = {
      ts: this.ts,
      view: function () { return self.window; },
      level: function () { return self.loaded && self.loaded.level; },
      offset: function () { return self.loaded ? self.loaded.from : 0; },
      colors: function () { return self.palette; },
      selected: function () { return self.chosen; }
    };
    this.marks = new SC.SignalMarks(about, this.candles);
    this.candles.attachPrimitive(this.marks);
    if (this.data.account) {
      this.equity = this.lib.addSeries(L.LineSeries, Object.assign({}, quiet, { color: c.equity, lineWidth: 1.5, crosshairMarkerRadius: 2.5, priceFormat: { type: "custom", minMove: 1e-9, formatter: this.moneyOf() } }), 1);
      this.equity.attachPrimitive(new SC.Band(about, this.equity));
      this.fall = this.lib.addSeries(L.AreaSeries, Object.assign({}, quiet, { lineColor: c.fall, topColor: c.fallSoft, bottomColor: c.fallSoft, invertFilledArea: true, lineWidth: 1, crosshairMarkerRadius: 2.5, priceFormat: { type: "custom", minMove: 0.001, formatter: function (x) { return x.toFixed(2) + " %"; } } }), 2);
    }
    this.panes();
    this.lib.subscribeCrosshairMove(function (event) { self.hover(event); });
    this.watch = new ResizeObserver(function () { self.resize(); });
    this.watch.observe(this.plot);
    var scheme = window.matchMedia("(prefers-color-scheme: dark)");
    this.listen(scheme, "change", function () { self.paint(); });
  };

  proto.moneyOf = function () {
    var decimals = this.data.account.decimals;
    return function (x) { return number(x, Math.abs(x) >= 1000 ? Math.min(decimals, 2) : decimals); };
  };

  proto.candleLook = function () {
    var c = this.palette;
    return { upColor: c.up, downColor: c.down, borderUpColor: c.wick, borderDownColor: c.wick, wickUpColor: c.wick, wickDownColor: c.wick };
  };

  proto.panes = function () {
    this.lib.panes().forEach(function (pane, k) { pane.setStretchFactor(PANES[k] || 1.3); });
  };

  proto.paint = function () {
    var c = this.readColors();
    this.lib.applyOptions(this.look());
    this.candles.applyOptions(this.candleLook());
    if (this.equity) {
      this.equity.applyOptions({ color: c.equity });
      this.fall.applyOptions({ lineColor: c.fall, topColor: c.fallSoft, bottomColor: c.fallSoft });
    }
    this.curves();
    this.keyOfMarks();
    this.draw(true);
  };

  proto.theme = function (name) {
    if (name === "auto") this.root.removeAttribute("data-theme");
    else this.root.setAttribute("data-theme", name);
    this.paint();
  };

  proto.resize = function () {
    if (!this.plot.clientWidth) return;
    this.lib.resize(this.plot.clientWidth, this.plot.clientHeight);
    this.draw();
    this.place();
  };

  /* The titles of the lower panes stand in their corners. */
  proto.place = function () {
    var panes = this.lib.panes(), top = 0, self = this;
    panes.forEach(function (pane, k) {
      if (k > 0 && self.titles[k - 1]) {
        self.titles[k - 1].style.top = top + 3 + "px";
      }
      top += pane.getHeight() + 1;
    });
  };

  /* ---------------------------------------------------------------- a market */

  proto.market = function (symbol) {
    var found = this.data.markets.filter(function (m) { return m.symbol === symbol; })[0];
    if (!found) return;
    if (!this.made[symbol]) this.made[symbol] = new SC.Series(found, this.data);
    var self = this;
    if (!this.series) this.made[symbol].indicators.filter(function (one) { return one.pane === "below"; }).slice(1)
      .forEach(function (one) { self.hidden[one.name] = true; });
    this.series = this.made[symbol];
    if (this.select) this.select.value = symbol;
    var decimals = this.series.decimals;
    this.candles.applyOptions({ priceFormat: { type: "custom", minMove: Math.pow(10, -decimals), formatter: function (x) { return number(x, decimals); } } });
    this.marks.set(this.signals, this.series);
    this.chipsOf();
    this.curves();
    this.keyOfMarks();
    this.stale = true;
    this.word();
    this.all();
    this.draw();
    requestAnimationFrame(function () { self.place(); });
  };

  proto.word = function () {
    var s = this.series, merged = s.merged > 1 ? ", " + s.merged + " candles drawn as one" : "";
    this.plot.setAttribute("aria-label", "Chart of " + s.symbol + " " + s.timeframe + ": candles with entries, targets, stops and exits" +
      (this.equity ? "; equity; drawdown" : "") + merged + ". Arrow keys move, plus and minus zoom, n and p go from trade to trade.");
  };

  /* One line for each indicator that is switched on; each of another scale has a pane of its own, the first is shown. */
  proto.curves = function () {
    var self = this, names = this.equity ? ["Equity" + (this.data.quote ? ", " + this.data.quote : ""), "Drawdown"] : [];
    (this.lines || []).forEach(function (line) { self.lib.removeSeries(line.series); });
    this.lines = [];
    this.series.indicators.forEach(function (one, k) {
      if (self.hidden[one.name]) return;
      var color = self.palette[LINES[k % LINES.length]];
      var series = self.lib.addSeries(L.LineSeries, {
        color: color, lineWidth: 1, priceLineVisible: false, lastValueVisible: false, crosshairMarkerVisible: false,
        priceFormat: { type: "custom", minMove: Math.pow(10, -one.decimals), formatter: function (x) { return number(x, one.pane === "price" ? self.series.decimals : Math.max(0, Math.min(4, one.decimals - 2))); } }
      }, one.pane === "price" ? 0 : names.push(one.name));
      self.lines.push({ series: series, column: "indicator" + k, name: one.name, decimals: one.decimals, pane: one.pane, color: color });
    });
    this.panes();
    this.titles.forEach(function (title) { title.remove(); });
    this.titles = names.map(function (name) { return make("div", { class: "sc-title", text: name }); });
    this.stage.append.apply(this.stage, this.titles);
    this.place();
    this.stale = true;
  };

  /* ---------------------------------------------------------------- the window */

  proto.want = function (from, to) {
    var n = this.series.n, wide = Math.max(LEAST, Math.min(to - from, Math.max(LEAST, n * 1.06))), middle = (from + to) / 2;
    from = middle - wide / 2;
    var rim = wide * 0.4;
    from = Math.max(-rim, Math.min(n + rim - wide, from));
    this.window = [from, from + wide];
    if (!this.frame) {
      var self = this;
      this.frame = requestAnimationFrame(function () { self.frame = 0; self.draw(); });
    }
  };

  proto.all = function () {
    var n = this.series.n;
    this.stopFlight();
    this.want(-n * 0.01, n * 1.02);
    this.mark(0);
  };

  proto.range = function (days) {
    if (days === "all") return this.all();
    var rows = days * DAY / this.series.step, chosen = this.marks.byNumber.get(this.chosen), n = this.series.n;
    var middle = chosen ? (chosen.from + Math.min(chosen.to, n)) / 2 : (this.window[0] + this.window[1]) / 2;
    var whole = this.window[1] - this.window[0] >= n;
    this.stopFlight();
    if (!chosen && whole) this.want(n + 0.03 * rows - rows, n + 0.03 * rows); // from everything: to the newest
    else this.want(middle - rows / 2, middle + rows / 2);
    this.mark(RANGES.findIndex(function (r) { return r[0] === days; }));
  };

  proto.mark = function (k) {
    this.ranges.forEach(function (button, i) { button.classList.toggle("on", i === k); });
  };

  /* Let the library hold three windows of the grain that fits, and show the middle one. */
  proto.draw = function (anew) {
    var view = this.window, most = Math.min(MOST, Math.max(240, Math.round((this.ts.width() || 600) * 1.1)));
    var level = this.series.level(view[1] - view[0], most), f = level.factor;
    var from = view[0] / f, to = view[1] / f, wide = to - from, held = this.loaded;
    if (anew || this.stale || !held || held.level !== level || (from < held.from && held.from > 0) || (to > held.to && held.to < level.n)) {
      this.load(level, Math.max(0, Math.floor(from - wide)), Math.min(level.n, Math.ceil(to + wide)));
    }
    this.ts.setVisibleLogicalRange({ from: from - this.loaded.from, to: to - this.loaded.from - 1 });
  };

  proto.load = function (level, from, to) {
    var c = level.columns, bars = [], equity = [], fall = [];
    for (var i = from; i < to; i++) {
      var time = c.time[i] / 1000;
      bars.push({ time: time, open: c.open[i], high: c.high[i], low: c.low[i], close: c.close[i] });
      if (this.equity) {
        equity.push(c.equity[i] === c.equity[i] ? { time: time, value: c.equity[i] } : { time: time });
        fall.push(c.drawdown[i] === c.drawdown[i] ? { time: time, value: c.drawdown[i] } : { time: time });
      }
    }
    this.loaded = { level: level, from: from, to: to };
    this.stale = false;
    this.candles.setData(bars);
    if (this.equity) {
      this.equity.setData(equity);
      this.fall.setData(fall);
    }
    (this.lines || []).forEach(function (line) {
      var values = c[line.column], points = [];
      for (var k = from; k < to; k++) points.push(values[k] === values[k] ? { time: c.time[k] / 1000, value: values[k] } : { time: c.time[k] / 1000 });
      line.series.setData(points);
    });
  };

  /* ---------------------------------------------------------------- moving by hand */

  proto.gestures = function () {
    var self = this, plot = this.plot, held = new Map(), moved = 0;
    var inside = function (event) { return event.clientX - plot.getBoundingClientRect().left < self.ts.width(); };
    var row = function (event) {
      var x = event.clientX - plot.getBoundingClientRect().left, part = Math.max(0, Math.min(1, x / Math.max(1, self.ts.width())));
      return self.window[0] + (self.window[1] - self.window[0]) * part;
    };
    var zoom = function (at, by) {
      self.stopFlight();
      self.mark(-1);
      self.want(at - (at - self.window[0]) * by, at + (self.window[1] - at) * by);
    };
    this.zoom = zoom;
    this.move = function (rows) {
      self.stopFlight();
      self.mark(-1);
      self.want(self.window[0] + rows, self.window[1] + rows);
    };
    plot.addEventListener("wheel", function (event) {
      var wide = self.window[1] - self.window[0], unit = event.deltaMode === 1 ? 20 : 1;
      var across = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX, down = event.shiftKey ? 0 : event.deltaY;
      if (!inside(event)) return;
      if (down > 0 && wide >= self.series.n && Math.abs(down) >= Math.abs(across)) return; // everything is in view: the page scrolls
      event.preventDefault();
      if (Math.abs(across) > Math.abs(down)) self.move(across * unit / Math.max(1, self.ts.width()) * wide);
      else zoom(row(event), Math.exp(Math.max(-1, Math.min(1, down * unit / 400))));
    }, { passive: false });
    plot.addEventListener("pointerdown", function (event) {
      if (!inside(event) || (event.pointerType === "mouse" && event.button !== 0)) return;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      moved = 0;
      plot.setPointerCapture(event.pointerId);
      plot.classList.add("held");
    });
    plot.addEventListener("pointermove", function (event) {
      var was = held.get(event.pointerId);
      if (!was) return;
      var wide = self.window[1] - self.window[0], width = Math.max(1, self.ts.width());
      moved += Math.abs(event.clientX - was.x) + Math.abs(event.clientY - was.y);
      if (held.size === 1) self.move((was.x - event.clientX) / width * wide);
      else {
        var other = null;
        held.forEach(function (p, id) { if (id !== event.pointerId) other = p; });
        var before = Math.abs(was.x - other.x), now = Math.abs(event.clientX - other.x);
        if (before > 8 && now > 8) zoom(row({ clientX: (event.clientX + other.x) / 2 }), before / now);
      }
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    ["pointerup", "pointercancel"].forEach(function (name) {
      plot.addEventListener(name, function (event) {
        if (held.delete(event.pointerId) && name === "pointerup" && moved < 5) self.click(event);
        if (!held.size) plot.classList.remove("held");
      });
    });
    plot.addEventListener("pointerleave", function () { self.tip.style.display = "none"; });
    plot.addEventListener("dblclick", function (event) { if (inside(event)) self.all(); });
    plot.addEventListener("keydown", function (event) { self.pressed(event); });
    if (this.options.keys) this.listen(document, "keydown", function (event) {
      var name = event.target.nodeName;
      if (event.target === plot || /^(INPUT|SELECT|TEXTAREA)$/.test(name) || event.target.isContentEditable) return;
      if (event.key === "n" || event.key === "p") self.pressed(event);
    });
  };

  proto.pressed = function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    var wide = this.window[1] - this.window[0], middle = (this.window[0] + this.window[1]) / 2, self = this;
    var acts = {
      ArrowLeft: function () { self.move(-wide * (event.shiftKey ? 0.5 : 0.1)); }, ArrowRight: function () { self.move(wide * (event.shiftKey ? 0.5 : 0.1)); },
      "+": function () { self.zoom(middle, 0.75); }, "=": function () { self.zoom(middle, 0.75); }, "-": function () { self.zoom(middle, 1 / 0.75); },
      Home: function () { self.move(-self.series.n * 2); }, End: function () { self.move(self.series.n * 2); }, 0: function () { self.all(); },
      n: function () { self.step(1); }, p: function () { self.step(-1); }, l: function () { self.log(); }, Escape: function () { self.choose(null); }
    };
    if (!acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  };

  proto.click = function (event) {
    var box = this.plot.getBoundingClientRect(), x = event.clientX - box.left;
    var part = x / Math.max(1, this.ts.width()), row = this.window[0] + (this.window[1] - this.window[0]) * part;
    if (event.clientY - box.top > this.lib.panes()[0].getHeight()) return;
    var found = this.marks.at(x, event.clientY - box.top, row);
    this.choose(found ? found.signal.number : null);
    this.plot.focus({ preventScroll: true });
  };

  proto.log = function () {
    this.isLog = !this.isLog;
    this.logButton.setAttribute("aria-pressed", String(this.isLog));
    this.candles.priceScale().applyOptions({ mode: this.isLog ? 1 : 0 });
  };

  /* ---------------------------------------------------------------- signals */

  proto.setSignals = function (list) {
    this.signals = list;
    this.marks.set(list, this.series);
    if (this.marks.request) this.marks.request();
    this.keyOfMarks();
  };

  proto.choose = function (number) {
    var changed = this.chosen !== number;
    this.chosen = number;
    if (this.marks.request) this.marks.request();
    var found = number === null ? null : this.signals.filter(function (s) { return s.number === number; })[0];
    this.says.textContent = found ? "Signal " + found.number + ", " + found.symbol + ": " + (found.outcome || found.name) : "";
    if (!changed) return;
    if (this.options.hash) this.writeHash(number);
    if (this.options.onSelect) this.options.onSelect(number);
  };

  proto.flyTo = function (number) {
    var found = this.signals.filter(function (s) { return s.number === number; })[0];
    if (!found || !this.data.markets.some(function (m) { return m.symbol === found.symbol; })) return false;
    if (found.symbol !== this.series.symbol) this.market(found.symbol);
    var p = this.marks.byNumber.get(number), n = this.series.n, end = Math.min(p.to, n - 1) + 1, wide = Math.max(24, (end - p.from) * 0.75);
    this.mark(-1);
    this.fly(p.from - wide, end + wide);
    this.choose(number);
    return true;
  };

  /* From trade to trade: the next signal of this market that traded; without a selection the one in view. */
  proto.step = function (by) {
    var traded = this.marks.placed.filter(function (p) { return p.trips.length; });
    if (!traded.length) return;
    var self = this, k = traded.findIndex(function (p) { return p.signal.number === self.chosen; });
    if (k < 0 && this.window[1] - this.window[0] >= this.series.n) k = by > 0 ? -1 : traded.length;
    else if (k < 0) {
      var middle = (this.window[0] + this.window[1]) / 2;
      k = traded.findIndex(function (p) { return p.from > middle; });
      k = k < 0 ? traded.length : k;
      if (by > 0) k -= 1;
    }
    this.flyTo(traded[Math.max(0, Math.min(traded.length - 1, k + by))].signal.number);
  };

  proto.stopFlight = function () {
    cancelAnimationFrame(this.flight || 0);
    this.flight = 0;
  };

  proto.fly = function (from, to) {
    this.stopFlight();
    var start = this.window.slice(), self = this, began = null, wide = start[1] - start[0];
    var far = Math.abs((from + to) / 2 - (start[0] + start[1]) / 2) > 3 * Math.max(wide, to - from) || wide > 12 * (to - from);
    if (far || window.matchMedia("(prefers-reduced-motion: reduce)").matches || document.hidden) return this.want(from, to);
    var frame = function (now) {
      began = began === null ? now : began;
      var part = Math.min(1, (now - began) / 220), ease = 1 - Math.pow(1 - part, 3);
      self.want(start[0] + (from - start[0]) * ease, start[1] + (to - start[1]) * ease);
      self.flight = part < 1 ? requestAnimationFrame(frame) : 0;
    };
    this.flight = requestAnimationFrame(frame);
  };

  /* ---------------------------------------------------------------- the address */

  proto.hash = function () {
    var self = this, follow = function () {
      var match = /^#signal-(\d+)$/.exec(location.hash);
      if (match) self.flyTo(Number(match[1]));
    };
    this.listen(window, "hashchange", follow);
    follow();
  };

  proto.writeHash = function (number) {
    var hash = number === null ? "" : "#signal-" + number;
    if (hash === location.hash || (!hash && !/^#signal-/.test(location.hash))) return;
    try { history.replaceState(null, "", hash || location.pathname + location.search); } catch (_) { /* a page inside an iframe has no address */ }
  };

  /* ---------------------------------------------------------------- live */

  proto.append = function (candle, symbol) {
    var series = symbol === undefined || symbol === this.series.symbol ? this.series : this.made[symbol];
    if (!series) {
      var market = this.data.markets.filter(function (m) { return m.symbol === symbol; })[0];
      if (!market) return;
      series = this.made[symbol] = new SC.Series(market, this.data);
    }
    var n = series.n, follows = series === this.series && this.window[1] >= n - 1, isNew = series.append(candle);
    if (series !== this.series) return;
    if (isNew) this.marks.longest += 1; // signals that live grow with the candles
    this.stale = true; // at most a few thousand candles are handed over anew
    if (isNew && follows) this.want(this.window[0] + 1, this.window[1] + 1);
    else this.want(this.window[0], this.window[1]);
  };

  /* ---------------------------------------------------------------- hover */

  proto.hover = function (event) {
    var self = this, s = this.series;
    if (!event.point || !this.loaded || event.logical === undefined || event.logical === null) {
      this.tip.style.display = "none";
      this.legend.replaceChildren();
      return;
    }
    var level = this.loaded.level, i = Math.round(event.logical) + this.loaded.from, c = level.columns;
    if (i < 0 || i >= level.n) { this.tip.style.display = "none"; return; }
    var part = function (label, value) { return make("span", {}, [make("b", { text: label }), " " + value]); };
    var told = [make("span", { text: when(c.time[i]) }), part("O", number(c.open[i], s.decimals)), part("H", number(c.high[i], s.decimals)), part("L", number(c.low[i], s.decimals)), part("C", number(c.close[i], s.decimals))];
    if (this.equity) {
      told.push(part("Equity", this.moneyOf()(c.equity[i])), part("Drawdown", number(c.drawdown[i], 2) + " %"));
    }
    this.lines.forEach(function (line) {
      var value = c[line.column][i];
      if (value === value) told.push(part(line.name, number(value, line.pane === "price" ? s.decimals : 4)));
    });
    this.legend.replaceChildren.apply(this.legend, told);
    var row = this.window[0] + (this.window[1] - this.window[0]) * event.point.x / Math.max(1, this.ts.width());
    var found = event.paneIndex === 0 || event.paneIndex === undefined ? this.marks.at(event.point.x, event.point.y, row) : null;
    if (!found) { this.tip.style.display = "none"; return; }
    this.tip.replaceChildren.apply(this.tip, this.tell(found));
    this.tip.style.display = "block";
    var wide = this.tip.offsetWidth, tall = this.tip.offsetHeight, x = event.point.x, room = this.plot.clientWidth;
    this.tip.style.left = Math.max(4, Math.min(room - wide - 4, x + 18 + wide > room ? x - wide - 18 : x + 18)) + "px";
    this.tip.style.top = Math.max(4, Math.min(this.plot.clientHeight - tall - 4, event.point.y + 16)) + "px";
  };

  /* What is said of a signal, and of its fill under the pointer. */
  proto.tell = function (found) {
    var s = found.signal, decimals = this.series.decimals, quote = this.data.quote ? " " + this.data.quote : "", rows = [];
    rows.push(make("b", { text: "Signal " + s.number + ", " + (s.side < 0 ? "short" : "long") }));
    if (found.fill) {
      var f = found.fill, label = (SC.LABELS[f.kind] || f.kind) + (f.kind === "target_hit" ? " " + f.target : "");
      rows.push(make("div", { class: "sc-fill", text: label + " at " + number(f.price, decimals) + (f.quantity ? ", " + Number(f.quantity.toPrecision(6)) : "") + ", " + when(f.time) }));
    }
    s.trips.forEach(function (t) {
      rows.push(make("div", { text: number(t.entry, decimals) + " → " + (t.exit === null ? "open" : number(t.exit, decimals) + ", " + t.by) }));
      if (t.gain !== null) rows.push(make("div", { class: t.gain < 0 ? "sc-loss" : "sc-gain", text: signed(t.gain, 2) + quote + " (" + signed(100 * t.share, 2) + " %)" + (t.ambiguous ? " ?" : "") }));
    });
    if (!s.trips.length) rows.push(make("div", { text: s.outcome || "not filled" }));
    return rows;
  };

  proto.destroy = function () {
    this.stopFlight();
    cancelAnimationFrame(this.frame);
    this.watch.disconnect();
    this.listeners.forEach(function (off) { off(); });
    this.lib.remove();
    this.root.replaceChildren();
  };
})(window.SignalChart);
