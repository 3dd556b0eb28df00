/* The dashboard's page: takes changes as they come, keeps ages counting, and shows the chosen signal on the chart. */
(function () {
  "use strict";

  const one = (id) => document.getElementById(id);
  const rows = one("rows"), filter = one("filter"), link = () => one("link");
  let chosen = new URLSearchParams(location.search).get("signal") || "";
  let order = [...rows.children].map((row) => row.dataset.key);
  let sorting = { by: "opened", down: true };
  let chart = null, drawn = { symbol: "", last: 0, key: "" }, asking = false, again = false;

  /* ---- what changes ---- */

  function put(element, html) {
    const open = [...element.querySelectorAll("details[data-keep][open]")].map((each) => each.dataset.keep);
    if (element.contains(document.activeElement) && document.activeElement.matches("input, button, summary") && open.length) {
      return false; // somebody types here: it is drawn once he is done
    }
    const typed = [...element.querySelectorAll("details[data-keep] input:not([type=hidden])")].some((each) =>
      each.type === "radio" ? each.checked : each.value);
    if (typed) return false;
    element.innerHTML = html;
    for (const keep of open) {
      const found = [...element.querySelectorAll("details[data-keep]")].find((each) => each.dataset.keep === keep);
      if (found) found.open = true;
    }
    return true;
  }

  const held = {};

  function set(name, html) {
    const element = one(name);
    if (!element) return;
    if (put(element, html)) delete held[name];
    else held[name] = html;
  }

  function made(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  }

  function take(patch) {
    for (const [name, html] of Object.entries(patch.set)) set(name, html);
    const focused = document.activeElement && document.activeElement.closest && document.activeElement.closest("#rows tr");
    const key = focused ? focused.dataset.key : "";
    for (const [name, html] of Object.entries(patch.rows)) {
      const before = one("r-" + name), row = made(html);
      if (before) before.replaceWith(row);
      else rows.append(row);
      if (!patch.whole) row.classList.add("fresh");
    }
    if (patch.order) {
      order = patch.order;
      const kept = new Set(order);
      for (const row of [...rows.children]) if (!kept.has(row.dataset.key)) row.remove();
    }
    if (patch.order || Object.keys(patch.rows).length) arrange();
    if (key && !rows.contains(document.activeElement)) focusRow(one("r-" + key));
    one("none").hidden = rows.children.length > 0;
    count();
    if (!chosen || !one("r-" + chosen)) {
      if (!chosen) chooseFirst();
    } else if (chosen in patch.rows || "calls" in patch.set) show();
  }

  setInterval(() => {
    for (const [name, html] of Object.entries(held)) set(name, html);
  }, 2000);

  /* ---- ages ---- */

  function lasted(ms) {
    const spans = [[1000, 1, "ms"], [60000, 1000, "s"], [3600000, 60000, "min"], [86400000, 3600000, "h"]];
    for (const [limit, unit, word] of spans) if (ms < limit) return Math.floor(ms / unit) + " " + word;
    return Math.floor(ms / 86400000) + " d";
  }

  function count() {
    const now = Date.now();
    for (const each of document.querySelectorAll("time.age")) {
      const gone = Math.max(0, now - Number(each.dataset.at));
      const text = (gone < 2000 ? "now" : lasted(gone) + " ago");
      if (each.textContent !== text) each.textContent = text;
      if (each.dataset.late) each.classList.toggle("late", gone > Number(each.dataset.late));
    }
  }
  setInterval(count, 1000);

  /* ---- the stream ---- */

  let stream = null, since = document.body.dataset.version, waits = 500, dead = 0;

  function alive() {
    clearTimeout(dead);
    dead = setTimeout(connect, 40000); // a ping comes every 15 s
  }

  function connect() {
    if (stream) stream.close();
    stream = new EventSource("/events?since=" + encodeURIComponent(since));
    stream.onopen = () => { waits = 500; say(""); alive(); };
    stream.addEventListener("patch", (event) => {
      const patch = JSON.parse(event.data);
      since = patch.version;
      say("");
      alive();
      take(patch);
    });
    stream.onerror = () => {
      say("dashboard does not answer, trying again");
      if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
      setTimeout(connect, waits);
      waits = Math.min(2 * waits, 10000);
    };
    alive();
  }

  let trouble = "";
  function say(text) {
    trouble = text;
    if (link() && link().textContent !== text) link().textContent = text;
  }
  setInterval(() => say(trouble), 1000); // the top is drawn anew now and then

  /* ---- the table ---- */

  function value(row, by) {
    const text = row.dataset[by] || "";
    if (by === "gain") return text === "" ? -Infinity : Number(text);
    return by === "opened" ? Number(text) : text.toLowerCase();
  }

  function arrange() {
    const place = new Map(order.map((key, number) => [key, number]));
    const found = [...rows.children].sort((a, b) => {
      const x = value(a, sorting.by), y = value(b, sorting.by);
      const way = x < y ? -1 : x > y ? 1 : 0;
      return (sorting.down ? -way : way) || place.get(a.dataset.key) - place.get(b.dataset.key);
    });
    if (found.some((row, number) => rows.children[number] !== row)) {
      const active = document.activeElement;
      rows.append(...found);
      if (active && rows.contains(active)) active.focus({ preventScroll: true });
    }
    sift();
    mark();
  }

  function sift() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows.children) {
      const text = [row.dataset.market, row.dataset.strategy, row.dataset.state].join(" ").toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  }
  filter.addEventListener("input", sift);

  for (const button of document.querySelectorAll("th button[data-sort]")) {
    button.addEventListener("click", () => {
      const by = button.dataset.sort;
      sorting = { by, down: sorting.by === by ? !sorting.down : by === "gain" || by === "opened" };
      for (const each of document.querySelectorAll("th[aria-sort]")) each.setAttribute("aria-sort", "none");
      button.parentElement.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      arrange();
    });
  }

  function mark() {
    for (const row of rows.children) row.classList.toggle("chosen", row.dataset.key === chosen);
    for (const each of rows.querySelectorAll("a.pick")) {
      if (each.closest("tr").dataset.key === chosen) each.setAttribute("aria-current", "true");
      else each.removeAttribute("aria-current");
    }
  }

  function focusRow(row) {
    const pick = row && row.querySelector("a.pick");
    if (pick) pick.focus({ preventScroll: true });
  }

  function choose(key, byPerson) {
    if (key === chosen && drawn.key === key) return;
    chosen = key;
    mark();
    if (byPerson) history.replaceState(null, "", "/?signal=" + encodeURIComponent(key));
    show();
  }

  function chooseFirst() {
    const row = rows.querySelector("tr.open") || rows.firstElementChild;
    if (row) choose(row.dataset.key, false);
  }

  rows.addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (!row || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    choose(row.dataset.key, true);
    focusRow(row);
  });

  function step(way) {
    const seen = [...rows.children].filter((row) => !row.hidden);
    if (!seen.length) return;
    const at = seen.findIndex((row) => row.dataset.key === chosen);
    const row = seen[Math.min(seen.length - 1, Math.max(0, at + way))];
    choose(row.dataset.key, true);
    focusRow(row);
    row.scrollIntoView({ block: "nearest" });
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, textarea, select");
    if (typing) {
      if (event.key === "Escape" && event.target === filter) { filter.value = ""; sift(); filter.blur(); }
      return;
    }
    const inRows = !!event.target.closest("#rows");
    if (event.key === "/") { event.preventDefault(); filter.focus(); }
    else if (event.key === "j" || (event.key === "ArrowDown" && inRows)) { event.preventDefault(); step(1); }
    else if (event.key === "k" || (event.key === "ArrowUp" && inRows)) { event.preventDefault(); step(-1); }
  });

  /* ---- the chosen signal ---- */

  async function show() {
    if (asking) { again = true; return; }
    asking = true;
    const key = chosen;
    try {
      const answer = await fetch("/signal/" + encodeURIComponent(key));
      if (key !== chosen) return;
      if (!answer.ok) {
        if (answer.status === 404) gone();
        return;
      }
      const found = await answer.json();
      one("detail").innerHTML = found.html;
      draw(found, key);
    } catch (error) {
      say("dashboard does not answer, trying again");
    } finally {
      asking = false;
      if (again || key !== chosen) { again = false; show(); }
    }
  }

  function gone() {
    const note = document.createElement("p");
    note.className = "empty";
    note.textContent = "This signal does not live any more.";
    const detail = one("detail");
    if (!detail.querySelector(":scope > p.empty")) detail.prepend(note);
  }

  function draw(found, key) {
    const market = found.chart.markets[0], candles = market.candles, last = candles.length ? candles[candles.length - 1].time : 0;
    const place = market.symbol + " " + market.timeframe;
    if (!candles.length || !window.SignalChart) return;
    if (chart && drawn.place === place && last >= drawn.last) {
      for (const candle of candles) if (candle.time > drawn.last) chart.append(candle);
      chart.setSignals(found.chart.signals);
    } else {
      if (chart) chart.destroy();
      one("chart").replaceChildren();
      chart = window.SignalChart.mount(one("chart"), found.chart, { height: 360 });
      drawn.key = "";
    }
    if (drawn.key !== key) chart.flyTo(found.number);
    drawn = { place, last, key };
  }

  /* ---- begin ---- */

  arrange();
  count();
  connect();
  if (chosen) show();
  else chooseFirst();
})();
