/* Data of the chart: the packed text as columns, a pyramid of ever coarser candles over them, and live rows.
   Plain script, no build step. Everything of the chart hangs on one name, SignalChart. */
window.SignalChart = window.SignalChart || {};
(function (SC) {
  "use strict";

  var TOP = 1500; // a level with fewer candles needs no coarser one above it

  /* How four values become one. */
  var RULES = {
    time: "first", open: "first", high: "max", low: "min", close: "last",
    equity: "last", lowest: "min", highest: "max", drawdown: "min"
  };

  function ruleOf(name) {
    return RULES[name] || "last"; // an indicator
  }

  /* ---------------------------------------------------------------- unpacking */

  /* Bytes from text: their number, a colon, then two of 91 characters for every thirteen bits. */
  function bytesOf(text) {
    var digits = new Uint8Array(128), start = text.indexOf(":"), n = Number(text.slice(0, start)), bytes = new Uint8Array(n);
    for (var c = 35; c < 126; c++) digits[c] = c - 35;
    digits[33] = 3;   // ! stands for &
    digits[126] = 25; // ~ stands for <
    for (var i = start + 1, k = 0, held = 0, bits = 0; k < n; i += 2) {
      held = (held << 13) | (digits[text.charCodeAt(i)] * 91 + digits[text.charCodeAt(i + 1)]);
      for (bits += 13; bits >= 8 && k < n;) bytes[k++] = (held >> (bits -= 8)) & 255;
      held &= (1 << bits) - 1;
    }
    return bytes;
  }

  /* text: as backtest.report.chart.pack returned it. Resolves to what mount() takes. */
  SC.unpack = async function (text) {
    var packed = new Blob([bytesOf(text.trim())]).stream().pipeThrough(new DecompressionStream("gzip"));
    var bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    var head = new DataView(bytes.buffer).getUint32(0, true);
    var data = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + head)));
    data.bytes = bytes.subarray(4 + head);
    if (data.stops) stopsOf(data);
    return data;
  };

  /* The steps of every signal's stop: a trailing one has thousands, so they are columns. */
  function stopsOf(data) {
    var told = data.stops, each = whole(data.bytes, told.each, data.signals.length), k = 0, decimals = {};
    var time = summed(data.bytes, told.time, told.n, 1), price = summed(data.bytes, told.price, told.n, 1);
    data.markets.forEach(function (market) { decimals[market.symbol] = market.decimals; });
    data.signals.forEach(function (signal, i) {
      var scale = Math.pow(10, signal.symbol in decimals ? decimals[signal.symbol] : 8);
      for (var end = k + each[i]; k < end; k++) signal.stop.push([time[k] * told.unit, price[k] / scale]);
    });
  }

  /* A column of whole numbers, 0 and more: all lowest bytes first, then the next ones. Up to three bytes they are integers
     of the machine, which matters for half a million of them. */
  function whole(bytes, place, n) {
    var at = place[0], width = place[1], i, values = width <= 3 ? new Int32Array(n) : new Float64Array(n);
    if (width === 1) for (i = 0; i < n; i++) values[i] = bytes[at + i];
    else if (width === 2) for (i = 0; i < n; i++) values[i] = bytes[at + i] | (bytes[at + n + i] << 8);
    else if (width === 3) for (i = 0; i < n; i++) values[i] = bytes[at + i] | (bytes[at + n + i] << 8) | (bytes[at + 2 * n + i] << 16);
    else for (var plane = 0, scale = 1; plane < width; plane++, scale *= 256, at += n) {
      for (i = 0; i < n; i++) values[i] += bytes[at + i] * scale;
    }
    return values;
  }

  /* 0, 1, 2, 3 ... are 0, -1, 1, -2 ... */
  function unfolded(bytes, place, n) {
    var values = whole(bytes, place, n), i;
    if (place[1] <= 3) for (i = 0; i < n; i++) values[i] = (values[i] >>> 1) ^ -(values[i] & 1);
    else for (i = 0; i < n; i++) values[i] = values[i] % 2 ? -(values[i] + 1) / 2 : values[i] / 2;
    return values;
  }

  function summed(bytes, place, n, scale) {
    var steps = unfolded(bytes, place, n), values = new Float64Array(n), sum = 0;
    for (var i = 0; i < n; i++) {
      sum += steps[i];
      values[i] = sum / scale;
    }
    return values;
  }

  function times(told) {
    var time = new Float64Array(told.n), t = told.start - told.step, gap = 0, gaps = told.gaps || [];
    for (var i = 0; i < told.n; i++) {
      if (gap < gaps.length && gaps[gap][0] === i) t += gaps[gap++][1];
      else t += told.step;
      time[i] = t;
    }
    return time;
  }

  function candlesOf(market, bytes) {
    var n = market.n, scale = Math.pow(10, market.decimals), before = 0;
    var opens = unfolded(bytes, market.open, n), closes = unfolded(bytes, market.close, n);
    var above = whole(bytes, market.high, n), below = whole(bytes, market.low, n);
    var open = new Float64Array(n), high = new Float64Array(n), low = new Float64Array(n), close = new Float64Array(n);
    for (var i = 0; i < n; i++) {
      var o = before + opens[i], c = o + closes[i];
      high[i] = ((o > c ? o : c) + above[i]) / scale;
      low[i] = ((o < c ? o : c) - below[i]) / scale;
      open[i] = o / scale;
      close[i] = c / scale;
      before = c;
    }
    return { time: times(market), open: open, high: high, low: low, close: close };
  }

  function liveCandles(market) {
    var rows = market.candles || [], columns = {};
    ["time", "open", "high", "low", "close"].forEach(function (name) {
      columns[name] = Float64Array.from(rows, function (row) { return row[name]; });
    });
    return columns;
  }

  /* Equity as it stood at the close of each candle, and the deepest drawdown since the candle before. */
  function accountOf(account, bytes, opens, step) {
    var n = account.n, time = times(account), scale = Math.pow(10, account.decimals);
    var equity = summed(bytes, account.equity, n, scale), below = summed(bytes, account.below, n, scale);
    var above = summed(bytes, account.above, n, scale), drawdown = summed(bytes, account.drawdown, n, -100);
    var rows = opens.length, empty = function () { return new Float64Array(rows).fill(NaN); };
    var columns = { equity: empty(), lowest: empty(), highest: empty(), drawdown: empty() };
    var j = 0, last = -1;
    for (var i = 0; i < rows; i++) {
      var deepest = null;
      for (; j < n && time[j] <= opens[i] + step; j++) {
        deepest = deepest === null ? drawdown[j] : Math.min(deepest, drawdown[j]);
        last = j;
      }
      if (last >= 0 && deepest === null) deepest = drawdown[last];
      if (last < 0) continue;
      columns.equity[i] = equity[last];
      columns.lowest[i] = equity[last] - below[last];
      columns.highest[i] = equity[last] + above[last];
      columns.drawdown[i] = deepest;
    }
    return columns;
  }

  function indicatorsOf(market, bytes) {
    return (market.indicators || []).map(function (one) {
      var values = summed(bytes, one.values, market.n, Math.pow(10, one.decimals));
      if (one.holes) {
        var holes = whole(bytes, one.holes, market.n);
        for (var i = 0; i < values.length; i++) if (holes[i]) values[i] = NaN;
      }
      return { name: one.name, pane: one.pane, decimals: one.decimals, values: values };
    });
  }

  /* ---------------------------------------------------------------- the pyramid */

  function mergeInto(rule, fine, coarse, n, from, to) {
    for (var i = from; i < to; i++) {
      var start = i * 4, end = Math.min(n, start + 4), value = fine[rule === "last" ? end - 1 : start];
      if (rule === "max") { for (var j = start + 1; j < end; j++) if (fine[j] > value) value = fine[j]; }
      if (rule === "min") { for (var k = start + 1; k < end; k++) if (fine[k] < value) value = fine[k]; }
      coarse[i] = value;
    }
  }

  function coarser(level) {
    var n = Math.ceil(level.n / 4), next = { factor: level.factor * 4, n: n, columns: {} };
    Object.keys(level.columns).forEach(function (name) {
      next.columns[name] = new Float64Array(n);
      mergeInto(ruleOf(name), level.columns[name], next.columns[name], level.n, 0, n);
    });
    return next;
  }

  /* The candles of one market at every grain, with account and indicators beside them. */
  SC.Series = function (market, data) {
    var columns = market.candles || !data.bytes ? liveCandles(market) : candlesOf(market, data.bytes);
    this.symbol = market.symbol;
    this.timeframe = market.timeframe || "";
    this.step = market.step;
    this.merged = market.merged || 1;
    this.decimals = market.decimals === undefined ? 2 : market.decimals;
    this.indicators = data.bytes && !market.candles ? indicatorsOf(market, data.bytes) : [];
    this.hasAccount = Boolean(data.account && data.bytes);
    if (this.hasAccount) Object.assign(columns, accountOf(data.account, data.bytes, columns.time, market.step));
    this.indicators.forEach(function (one, k) {
      columns["indicator" + k] = one.values;
      delete one.values;
    });
    this.levels = [{ factor: 1, n: columns.time.length, columns: columns }];
    while (this.levels[this.levels.length - 1].n > TOP) this.levels.push(coarser(this.levels[this.levels.length - 1]));
  };

  Object.defineProperty(SC.Series.prototype, "n", { get: function () { return this.levels[0].n; } });

  /* The last candle at or before a time, -1 before the first. */
  SC.Series.prototype.row = function (time) {
    var t = this.levels[0].columns.time, low = 0, high = this.n;
    while (low < high) {
      var middle = (low + high) >> 1;
      if (t[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };

  SC.Series.prototype.time = function (row) {
    var t = this.levels[0].columns.time, n = this.n;
    if (!n) return 0;
    if (row < 0) return t[0] + row * this.step;
    return row < n ? t[row] : t[n - 1] + (row - n + 1) * this.step;
  };

  /* The coarsest grain is drawn that shows at most this many candles. */
  SC.Series.prototype.level = function (rows, most) {
    var k = 0;
    while (k < this.levels.length - 1 && rows / this.levels[k].factor > most) k++;
    return this.levels[k];
  };

  function grown(column, n) {
    if (column.length >= n) return column;
    var larger = new Float64Array(Math.max(n, 2 * column.length, 64));
    larger.set(column);
    return larger;
  }

  /* A live candle: the next one, or the last one anew. Returns whether it is a new row; an older one is ignored. */
  SC.Series.prototype.append = function (candle) {
    var base = this.levels[0], n = base.n, newest = n ? base.columns.time[n - 1] : -Infinity;
    if (!(candle.time >= newest)) return false;
    var isNew = candle.time > newest, row = isNew ? n : n - 1;
    base.n = row + 1;
    Object.keys(base.columns).forEach(function (name) {
      base.columns[name] = grown(base.columns[name], base.n);
      if (name in candle) base.columns[name][row] = candle[name];
      else if (isNew) base.columns[name][row] = row && name in RULES ? base.columns[name][row - 1] : NaN;
    });
    for (var k = 1; k < this.levels.length; k++) {
      var fine = this.levels[k - 1], level = this.levels[k], last = Math.ceil(fine.n / 4) - 1;
      level.n = last + 1;
      Object.keys(level.columns).forEach(function (name) {
        level.columns[name] = grown(level.columns[name], level.n);
        mergeInto(ruleOf(name), fine.columns[name], level.columns[name], fine.n, last, last + 1);
      });
    }
    if (this.levels[this.levels.length - 1].n > TOP) this.levels.push(coarser(this.levels[this.levels.length - 1]));
    return isNew;
  };
})(window.SignalChart);
