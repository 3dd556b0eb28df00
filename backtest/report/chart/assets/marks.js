/* Marks of the chart: what signals asked for and what they got, and the band of the three readings.
   Both are primitives of lightweight-charts: they draw what is in view, in the library's own frame. */
(function (SC) {
  "use strict";

  var FULL = 60;    // signals in view that are drawn with their levels
  var APART = 9;    // pixels a signal from which on its fills are marked; closer, one line goes from entry to exit

  /* Shape and colour of each kind of fill: told apart by shape too. */
  var KINDS = {
    entered: ["entry", "entry"], dca_filled: ["dca", "entry"], rebought: ["rebuy", "entry"],
    target_hit: ["target", "target"], take_profit_filled: ["profit", "target"],
    stop_hit: ["stop", "stop"], trailing_hit: ["trail", "stop"],
    liquidated: ["liquidated", "stop"], canceled: ["canceled", "cancel"]
  };
  SC.LABELS = {
    entered: "entry", dca_filled: "DCA", rebought: "rebuy", target_hit: "target", take_profit_filled: "take profit",
    stop_hit: "stop", trailing_hit: "trailing stop", liquidated: "liquidated", canceled: "canceled"
  };

  function polygon(g, points) {
    g.beginPath();
    points.forEach(function (p, k) { if (k) g.lineTo(p[0], p[1]); else g.moveTo(p[0], p[1]); });
    g.closePath();
  }

  /* One mark at (x, y), s its half size; up is -1 where the mark points up. */
  SC.shape = function (g, kind, x, y, s, up, colors) {
    var how = KINDS[kind] || ["stop", "stop"], color = colors[how[1] === "entry" && up > 0 ? "short" : how[1]];
    g.fillStyle = color;
    g.strokeStyle = colors.ground;
    g.lineWidth = 1;
    switch (how[0]) {
      case "entry":
      case "dca":
        polygon(g, [[x, y + up * s], [x + s, y - up * s * 0.8], [x - s, y - up * s * 0.8]]);
        break;
      case "rebuy":
      case "profit":
      case "trail":
      case "liquidated":
        polygon(g, [[x, y - s], [x + s, y], [x, y + s], [x - s, y]]);
        break;
      case "target":
        g.beginPath();
        g.arc(x, y, s * 0.85, 0, 2 * Math.PI);
        break;
      default:
        g.beginPath();
        g.rect(x - s * 0.8, y - s * 0.8, s * 1.6, s * 1.6);
    }
    if (how[0] === "dca") { // hollow: the same way in, later
      g.fillStyle = colors.ground;
      g.strokeStyle = color;
      g.lineWidth = 1.6;
    }
    g.fill();
    g.stroke();
    if (how[0] === "liquidated") {
      g.fillStyle = colors.ground;
      g.fillRect(x - s * 0.5, y - 0.75, s, 1.5);
    }
  };

  /* ---------------------------------------------------------------- signals */

  /* Rows of candles for every time of a signal, found once. */
  function placed(signal, series) {
    var end = signal.until === null || signal.until === undefined ? Infinity : signal.until;
    signal.trips.forEach(function (trip) { if (trip.end === null) end = Infinity; });
    return {
      signal: signal,
      from: Math.max(0, series.row(signal.made)),
      to: end === Infinity ? Infinity : Math.max(0, series.row(end)),
      fills: signal.fills.map(function (fill) { return series.row(fill.time); }),
      stop: signal.stop.map(function (step) { return series.row(step[0]); }),
      targets: signal.targets.map(function (steps) { return steps.map(function (step) { return series.row(step[0]); }); }),
      trips: signal.trips.map(function (trip) {
        return [series.row(trip.start), trip.end === null ? Infinity : series.row(trip.end)];
      })
    };
  }

  /* chart: {ts, view(), level(), offset(), colors(), selected()} */
  SC.SignalMarks = function (chart, candles) {
    this.chart = chart;
    this.candles = candles;
    this.placed = [];
    this.longest = 0;
    this.inView = [];
    var self = this;
    this.views = [{
      zOrder: function () { return "top"; },
      renderer: function () {
        return { draw: function (target) { target.useMediaCoordinateSpace(function (scope) { self.draw(scope.context, scope.mediaSize); }); } };
      }
    }];
  };
  var proto = SC.SignalMarks.prototype;

  proto.attached = function (given) { this.request = given.requestUpdate; };
  proto.updateAllViews = function () {};
  proto.paneViews = function () { return this.views; };

  proto.set = function (signals, series) {
    this.placed = signals.filter(function (one) { return one.symbol === series.symbol; })
      .map(function (one) { return placed(one, series); })
      .sort(function (a, b) { return a.from - b.from; });
    this.series = series;
    var n = series.n;
    this.longest = this.placed.reduce(function (most, one) { return Math.max(most, Math.min(one.to, n) - one.from); }, 0);
    this.byNumber = new Map(this.placed.map(function (one) { return [one.signal.number, one]; }));
  };

  /* Signals whose life touches the rows from a to b. */
  proto.touching = function (a, b) {
    var low = 0, high = this.placed.length, found = [];
    while (low < high) {
      var middle = (low + high) >> 1;
      if (this.placed[middle].from < a - this.longest) low = middle + 1;
      else high = middle;
    }
    for (var k = low; k < this.placed.length && this.placed[k].from <= b; k++) {
      if (this.placed[k].to >= a) found.push(this.placed[k]);
    }
    return found;
  };

  /* The levels of the selected signal are always in view. */
  proto.autoscaleInfo = function () {
    var one = this.byNumber && this.byNumber.get(this.chart.selected()), view = this.chart.view();
    if (!one || one.to < view[0] || one.from > view[1]) return null;
    var prices = [].concat(one.signal.entry);
    one.signal.fills.forEach(function (fill) { prices.push(fill.price); });
    one.signal.stop.forEach(function (step) { prices.push(step[1]); });
    one.signal.targets.forEach(function (steps) { steps.forEach(function (step) { prices.push(step[1]); }); });
    if (!prices.length) return null;
    var low = Math.min.apply(null, prices), high = Math.max.apply(null, prices);
    return low < high ? { priceRange: { minValue: low, maxValue: high } } : null;
  };

  proto.draw = function (g, size) {
    var chart = this.chart, self = this, view = chart.view(), colors = chart.colors();
    if (!this.series || !this.series.n || !chart.level()) return;
    var zero = chart.ts.logicalToCoordinate(0), one = chart.ts.logicalToCoordinate(1);
    if (zero === null || one === null) return;
    var factor = chart.level().factor, wide = (one - zero) / factor, n = this.series.n;
    var left = zero - (one - zero) / 2 - chart.offset() * (one - zero); // left edge of row 0
    this.x = function (row) { return left + row * wide; };
    var y = function (price) { return self.candles.priceToCoordinate(price); };
    var selected = chart.selected(), shown = this.touching(view[0], view[1]);
    this.inView = shown;
    this.wide = wide;
    var draw = shown.length <= FULL ? "full" : shown.length * APART <= size.width ? "marks" : "lines";
    shown.forEach(function (p) { if (p.signal.number !== selected) self.one(g, p, size, y, colors, draw, n); });
    var chosen = this.byNumber.get(selected);
    if (chosen && shown.indexOf(chosen) >= 0) {
      g.save();
      g.fillStyle = colors.select;
      var x0 = this.x(chosen.from), x1 = this.x(Math.min(chosen.to, n - 1) + 1);
      g.fillRect(x0, 0, Math.max(2, x1 - x0), size.height);
      g.restore();
      this.one(g, chosen, size, y, colors, "selected", n);
    }
  };

  proto.one = function (g, p, size, y, colors, draw, n) {
    var signal = p.signal, self = this, last = Math.min(p.to, n - 1), x0 = this.x(p.from), x1 = this.x(last + 1);
    if (x1 < 0 || x0 > size.width) return;
    if (draw === "full" || draw === "selected") {
      this.zone(g, p, x0, y, colors, last);
      this.targets(g, p, y, colors, last, draw);
      this.stop(g, p, y, colors, last, draw);
    }
    if (draw !== "full") signal.trips.forEach(function (trip, k) {
      var a = p.trips[k][0], b = Math.min(p.trips[k][1], n - 1), end = trip.exit === null ? self.series.levels[0].columns.close[b] : trip.exit;
      g.strokeStyle = trip.gain === null ? colors.soft : trip.gain >= 0 ? colors.target : colors.stop;
      g.globalAlpha = draw === "selected" ? 0.9 : 0.6;
      g.lineWidth = draw === "selected" ? 1 : 2;
      g.beginPath();
      g.moveTo(self.x(a + 0.5), y(trip.entry));
      g.lineTo(Math.max(self.x(b + 0.5), self.x(a + 0.5) + 1), y(end));
      g.stroke();
      g.globalAlpha = 1;
    });
    if (draw !== "lines") {
      var s = draw === "marks" ? 3.5 : draw === "selected" ? 6.5 : Math.max(4, Math.min(5.5, this.wide + 3));
      signal.fills.forEach(function (fill, k) {
        SC.shape(g, fill.kind, self.x(p.fills[k] + 0.5), y(fill.price), s, -signal.side, colors);
      });
    }
  };

  proto.zone = function (g, p, x0, y, colors, last) {
    var entry = p.signal.entry;
    if (!entry.length) return;
    var end = p.fills.length ? p.fills[0] : last, x1 = this.x(end + 1);
    var low = y(Math.min.apply(null, entry)), high = y(Math.max.apply(null, entry));
    g.fillStyle = colors.zone;
    g.fillRect(x0, high - 0.5, Math.max(2, x1 - x0), Math.max(1.5, low - high + 1));
  };

  /* Steps of a level as one line, each until the next one. */
  proto.path = function (g, rows, steps, last, y) {
    var self = this, before = null;
    g.beginPath();
    steps.forEach(function (step, k) {
      if (rows[k] > last) return;
      var x = self.x(Math.max(0, rows[k])), at = y(step[1]);
      if (before === null) g.moveTo(x, at);
      else { g.lineTo(x, before); g.lineTo(x, at); }
      before = at;
    });
    if (before !== null) g.lineTo(this.x(last + 1), before);
    g.stroke();
    return before;
  };

  proto.targets = function (g, p, y, colors, last, draw) {
    var self = this, hits = {}, labels = [];
    p.signal.fills.forEach(function (fill, k) { if (fill.target) hits[fill.target] = p.fills[k]; });
    g.setLineDash([2, 3]);
    g.lineWidth = 1.2;
    g.strokeStyle = colors.target;
    p.signal.targets.forEach(function (steps, k) {
      var end = hits[k + 1] === undefined ? last : Math.min(last, hits[k + 1]);
      var at = self.path(g, p.targets[k], steps, end, y);
      if (at !== null) labels.push(["target " + (k + 1), at, self.x(end + 1)]);
    });
    g.setLineDash([]);
    if (draw === "selected") this.words(g, labels, colors.targetInk, colors);
  };

  proto.stop = function (g, p, y, colors, last, draw) {
    if (!p.signal.stop.length) return;
    g.lineWidth = draw === "selected" ? 1.8 : 1.3;
    g.strokeStyle = colors.stop;
    var at = this.path(g, p.stop, p.signal.stop, last, y);
    if (draw === "selected" && at !== null) this.words(g, [["stop", at, this.x(last + 1)]], colors.stopInk, colors);
  };

  proto.words = function (g, labels, color, colors) {
    g.font = "11px system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    g.textBaseline = "middle";
    labels.forEach(function (label) {
      var wide = g.measureText(label[0]).width;
      g.fillStyle = colors.ground;
      g.globalAlpha = 0.8;
      g.fillRect(label[2] + 3, label[1] - 7, wide + 6, 14);
      g.globalAlpha = 1;
      g.fillStyle = color;
      g.fillText(label[0], label[2] + 6, label[1] + 0.5);
    });
  };

  /* The fill under the pointer, or the signal whose life it lies in. */
  proto.at = function (x, y, row) {
    var best = null, near = 100, self = this;
    if (!this.x) return null;
    this.inView.forEach(function (p) {
      p.signal.fills.forEach(function (fill, k) {
        var dx = self.x(p.fills[k] + 0.5) - x, dy = self.candles.priceToCoordinate(fill.price) - y, far = dx * dx + dy * dy;
        if (far < near) { near = far; best = { signal: p.signal, fill: fill }; }
      });
    });
    if (best) return best;
    for (var k = this.inView.length - 1; k >= 0; k--) {
      var p = this.inView[k];
      if (p.from <= row && row <= p.to) return { signal: p.signal, fill: null };
    }
    return null;
  };

  /* ---------------------------------------------------------------- the three readings */

  SC.Band = function (chart, equity) {
    var self = this;
    this.chart = chart;
    this.equity = equity;
    this.views = [{
      zOrder: function () { return "bottom"; },
      renderer: function () {
        return { draw: function (target) { target.useMediaCoordinateSpace(function (scope) { self.draw(scope.context, scope.mediaSize); }); } };
      }
    }];
  };
  SC.Band.prototype.attached = function () {};
  SC.Band.prototype.updateAllViews = function () {};
  SC.Band.prototype.paneViews = function () { return this.views; };
  SC.Band.prototype.range = function () {
    var view = this.chart.view(), level = this.chart.level();
    return [Math.max(0, Math.floor(view[0] / level.factor) - 1), Math.min(level.n, Math.ceil(view[1] / level.factor) + 1)];
  };
  SC.Band.prototype.autoscaleInfo = function () {
    var level = this.chart.level();
    if (!level || !level.columns.lowest) return null; // nothing loaded yet
    var range = this.range(), low = Infinity, high = -Infinity, c = level.columns;
    for (var i = range[0]; i < range[1]; i++) {
      if (c.lowest[i] < low) low = c.lowest[i];
      if (c.highest[i] > high) high = c.highest[i];
    }
    return low <= high ? { priceRange: { minValue: low, maxValue: high } } : null;
  };
  SC.Band.prototype.draw = function (g) {
    var level = this.chart.level(), c = level && level.columns, ts = this.chart.ts;
    if (!c || !c.lowest) return;
    var range = this.range(), equity = this.equity, off = this.chart.offset(), points = [], i;
    var zero = ts.logicalToCoordinate(0), wide = ts.logicalToCoordinate(1) - zero;
    var x = function (k) { return zero + (k - off) * wide; };
    for (i = range[0]; i < range[1]; i++) if (c.highest[i] === c.highest[i]) points.push([x(i), equity.priceToCoordinate(c.highest[i])]);
    for (i = range[1] - 1; i >= range[0]; i--) if (c.lowest[i] === c.lowest[i]) points.push([x(i), equity.priceToCoordinate(c.lowest[i])]);
    if (points.length < 4) return;
    g.fillStyle = this.chart.colors().band;
    polygon(g, points);
    g.fill();
  };
})(window.SignalChart);
