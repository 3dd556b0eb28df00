/* The page: mounts the chart, makes the tables sort, filter and write CSV, and shows the steps of the chosen signal.
   Everything it shows is in the page already, as data; it asks the network for nothing. */
(function () {
  "use strict";

  var ROWS = window.matchMedia("(max-width: 44rem)").matches ? 10 : 30; // rows of trades shown at once; more on demand
  var FEW = 24; // rows shown of any other table
  var root = document.documentElement;
  var byId = function (id) { return document.getElementById(id); };

  var make = SignalChart.make;

  /* ---------------------------------------------------------------- light and dark */

  var chart = null;

  function isDark() {
    var chosen = root.getAttribute("data-theme");
    return chosen ? chosen === "dark" : window.matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function theming() {
    var button = byId("theme"), say = function () { button.textContent = isDark() ? "Light" : "Dark"; };
    button.hidden = false;
    say();
    button.addEventListener("click", function () {
      var next = isDark() ? "light" : "dark";
      root.setAttribute("data-theme", next);
      if (chart) chart.theme(next);
      say();
    });
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", say);
  }

  /* ---------------------------------------------------------------- tables */

  function csvCell(value) {
    if (value === null || value === undefined) return "";
    var text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text; // no formula in a spreadsheet
    return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }

  function Table(box, data, go) {
    this.box = box;
    this.data = data;
    this.go = go;
    this.order = data.shown.map(function (_, i) { return i; });
    this.by = -1;
    this.isDown = false;
    this.first = data.key === "trades" ? ROWS : FEW;
    this.most = this.first;
    this.words = "";
    this.build();
  }

  Table.prototype.build = function () {
    var self = this, data = this.data, title = this.title();
    var table = make("table", { class: (data.head.length > 4 ? "stack" : "") + (data.dense ? " dense" : "") });
    this.heads = data.head.map(function (name, k) {
      var button = make("button", { type: "button", text: name, onclick: function () { self.sort(k); } });
      return make("th", { scope: "col", class: data.figures.indexOf(k) >= 0 ? "n" : "" }, [button]);
    });
    this.body = make("tbody");
    table.append(make("thead", {}, [make("tr", {}, this.heads)]), this.body);
    this.count = make("span", { class: "count", "aria-live": "polite" });
    var few = data.shown.length <= FEW, tools = make("div", { class: few ? "tools small" : "tools" });
    if (!few) {
      tools.append(make("input", { type: "search", placeholder: data.key === "trades" ? "Filter, e.g. short stop" : "Filter", "aria-label": "Filter " + title, oninput: function (event) { self.filter(event.target.value); } }));
    }
    var select = make("select", { "aria-label": "Sort " + title + " by", onchange: function (event) { self.sort(Number(event.target.value)); } },
      [make("option", { value: "-1", text: "order" })].concat(data.head.map(function (name, k) { return make("option", { value: String(k), text: name }); })));
    if (data.head.length > 4 && !few) tools.append(make("span", { class: "by" }, ["sort by", select]));
    tools.append(this.count, make("button", { type: "button", text: "CSV", title: "Save as CSV: " + title, "aria-label": "Save as CSV: " + title, onclick: function () { self.csv(); } }));
    this.more = make("button", { type: "button", class: "more", onclick: function () { self.most += 100; self.fill(); } });
    this.box.replaceChildren(tools, table, this.more);
    this.fill();
  };

  Table.prototype.title = function () {
    var head = this.box.parentElement.querySelector("h3") || this.box.closest("section").querySelector("h2");
    return head ? head.textContent : this.data.key;
  };

  Table.prototype.sort = function (k) {
    if (k < 0) { this.by = -1; this.arrange(); return; }
    var figures = this.data.figures.indexOf(k) >= 0;
    this.isDown = this.by === k ? !this.isDown : figures; // figures begin with the largest
    this.by = k;
    this.arrange();
  };

  Table.prototype.filter = function (words) {
    this.words = words;
    this.most = this.first;
    this.arrange();
  };

  /* Each word must stand somewhere in the row. What has no value comes last, either way. */
  Table.prototype.arrange = function () {
    var data = this.data, k = this.by, down = this.isDown ? -1 : 1;
    var words = this.words.toLowerCase().split(/\s+/).filter(Boolean);
    this.order = data.shown.map(function (_, i) { return i; }).filter(function (i) {
      var text = data.shown[i].join(" ").toLowerCase();
      return words.every(function (word) { return text.indexOf(word) >= 0; });
    });
    if (k >= 0) this.order.sort(function (a, b) {
      var x = data.raw[a][k], y = data.raw[b][k];
      if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;
      if (x === y) return a - b;
      return (typeof x === "number" && typeof y === "number" ? x - y : String(x) < String(y) ? -1 : 1) * down;
    });
    this.heads.forEach(function (head, i) {
      if (i === k) head.setAttribute("aria-sort", down < 0 ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.fill();
  };

  Table.prototype.fill = function () {
    var self = this, data = this.data, shown = this.order.slice(0, this.most), signed = /return|PnL|gain/i;
    this.body.replaceChildren.apply(this.body, shown.map(function (i, place) {
      var number = data.signals[i], heats = data.heats ? data.heats[i] : {};
      var cells = data.shown[i].map(function (text, k) {
        var isFigure = data.figures.indexOf(k) >= 0, name = isFigure ? "n" : "", value = data.raw[i][k];
        if (heats[k]) name += " " + heats[k];
        else if (isFigure && signed.test(data.head[k]) && typeof value === "number" && value) name += value > 0 ? " up" : " down";
        if (!isFigure && text.length < 20) name += " short";
        var cell = make("td", { class: name.trim(), "data-label": data.head[k] });
        if (number && k === 0) cell.append(make("a", { href: "#signal-" + number, text: text }));
        else cell.textContent = text;
        return cell;
      });
      var row = make("tr", { class: (number ? "link" : "") + (place >= 12 ? " extra" : "") + (number && number === chosen ? " chosen" : "") }, cells);
      if (number) {
        row.dataset.signal = number;
        row.addEventListener("click", function (event) {
          if (window.getSelection && String(window.getSelection())) return; // someone is copying
          event.preventDefault();
          self.go(number);
        });
      }
      return row;
    }));
    var total = data.shown.length, left = this.order.length - shown.length;
    this.count.textContent = this.order.length === total ? total.toLocaleString("en-US") + (total === 1 ? " row" : " rows")
      : this.order.length.toLocaleString("en-US") + " of " + total.toLocaleString("en-US") + " rows";
    this.more.hidden = left <= 0;
    this.more.textContent = "Show " + Math.min(left, 100) + " more";
  };

  /* The rows as they are sorted and filtered, unrounded. */
  Table.prototype.csv = function () {
    var data = this.data, lines = [data.head.map(csvCell).join(",")];
    this.order.forEach(function (i) { lines.push(data.raw[i].map(csvCell).join(",")); });
    var address = URL.createObjectURL(new Blob(["﻿" + lines.join("\r\n") + "\r\n"], { type: "text/csv;charset=utf-8" }));
    var link = make("a", { href: address, download: data.key + ".csv" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(function () { URL.revokeObjectURL(address); }, 1000);
  };

  /* ---------------------------------------------------------------- the steps of a signal */

  var chosen = null;

  function Steps(box, data, go) {
    var self = this;
    this.data = data;
    this.box = box;
    this.numbers = Object.keys(data.signals).map(Number);
    this.field = make("input", { type: "number", min: String(Math.min.apply(null, this.numbers)), max: String(Math.max.apply(null, this.numbers)), "aria-label": "Number of the signal",
      onchange: function (event) { go(Number(event.target.value)); } });
    var by = function (step) { return function () { go(Number(self.field.value) + step); }; };
    var bar = make("div", { class: "picker" }, [make("label", {}, ["Signal "]), this.field,
      make("button", { type: "button", text: "‹ Previous", onclick: by(-1) }), make("button", { type: "button", text: "Next ›", onclick: by(1) }),
      make("button", { type: "button", text: "Show in the chart", onclick: function () { go(Number(self.field.value), true); } })]);
    box.parentElement.insertBefore(bar, box);
    this.show(this.numbers[this.numbers.length - 1]);
  }

  Steps.prototype.show = function (number) {
    var signal = this.data.signals[number], rules = this.data.rules;
    if (!signal) return false;
    this.field.value = number;
    this.box.replaceChildren(
      make("h3", { text: "Signal " + number + ", " + signal.name }),
      make("p", { text: signal.outcome }),
      make("ol", { class: "steps" }, signal.steps.map(function (step) {
        var what = make("span", { class: "what", text: step[2] });
        if (step[3]) what.append(make("span", { class: "why" }, [make("b", { text: step[3] }), " " + (rules[step[3]] || "")]));
        return make("li", {}, [make("span", { class: "when", text: step[0] }), make("span", { class: "leg", text: step[1] }), what]);
      }))
    );
    return true;
  };

  /* ---------------------------------------------------------------- all together */

  async function start() {
    root.classList.add("js");
    theming();
    var packed = byId("packed-chart"), steps = null, tables = [];
    var mark = function (number) {
      chosen = number;
      document.querySelectorAll("tr.chosen").forEach(function (row) { row.classList.remove("chosen"); });
      document.querySelectorAll('tr[data-signal="' + number + '"]').forEach(function (row) { row.classList.add("chosen"); });
      if (steps && number) steps.show(number);
    };
    var toChart = function (number) {
      if (chart && chart.flyTo(number)) byId("chart").scrollIntoView({ behavior: window.matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth", block: "start" });
      else mark(number);
    };
    if (packed) {
      try {
        var drawn = await SignalChart.unpack(packed.textContent);
        packed.remove();
        chart = SignalChart.mount(byId("live"), drawn, { height: Math.max(420, Math.min(640, window.innerHeight - 300)), hash: true, keys: true, onSelect: mark });
        window.signalChart = chart;
        requestAnimationFrame(function () { requestAnimationFrame(function () { performance.mark("painted"); }); });
      } catch (error) {
        root.classList.remove("js");
        byId("sorry").hidden = false;
        if (window.DecompressionStream) throw error;
        return;
      }
    }
    var data = await SignalChart.unpack(byId("packed-data").textContent);
    byId("packed-data").remove();
    var boxes = Array.from(document.querySelectorAll("[data-table]"));
    data.tables.forEach(function (one) { // two tables of the same name take the boxes of that name in turn
      var k = one.shown.length ? boxes.findIndex(function (box) { return box.dataset.table === one.key; }) : -1;
      if (k >= 0) tables.push(new Table(boxes.splice(k, 1)[0], one, toChart));
    });
    if (byId("signal")) steps = new Steps(byId("signal"), data, function (number, isFar) {
      if (isFar) toChart(number);
      else if (!chart || !chart.flyTo(number)) mark(number);
    });
    if (chart && chart.selected()) mark(chart.selected());
    window.addEventListener("beforeprint", function () { document.querySelectorAll(".notes").forEach(function (one) { one.open = true; }); });
    root.classList.add("ready");
  }

  start();
})();
