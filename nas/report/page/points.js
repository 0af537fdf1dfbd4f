// All points of the level that is shown, sorted by a column. Text and, where it is not a number, fill.
const OF_EXITS = ["Worst (ms)", "Images leave at"]; // they say nothing where no point has an early exit
const stops = results.some(({pareto}) => pareto.points.some(p => p.exits.after.length));
const COLUMNS = [
  ["Accuracy (%)", "accuracy, %", accuracy, p => percent2(accuracy(p)), "error_source"],
  ["Latency (ms)", "expected, ms", p => p.latency_ms, fillLatency, "latency_source"],
  ["Worst (ms)", "worst, ms", p => p.latency_worst_ms, p => short(p.latency_worst_ms), "latency_source"],
  ["Energy (mJ)", "energy, mJ", p => p.energy_mj, p => short(p.energy_mj), "energy_source"],
  ["Images leave at", "images leave at", p => 1 - (p.exit_rates ?? [1]).at(-1), strip],
  ["MMACs", "MMACs", p => p.macs, p => short(p.macs / 1e6)],
  ["Point", "point", p => p.id, fillPoint],
].filter(([name]) => stops || !OF_EXITS.includes(name));
const sorted = {column: 1, ascending: true};

function fillLatency(cell, p) {
  el(cell, "b", {}, short(p.latency_ms));
  el(cell, "small", {}, interval(p.latency_interval_ms));
}
function fillPoint(cell, p, result) {
  el(cell, "span", {}, p.id + (result.front.has(p.id) ? " ★" : "") + (stops ? `, exits ${exits(p)}` : ""));
  const own = Object.entries(CLOCKS).filter(([key]) => known(p[key]));
  for (const [key, text] of own) cell.append(`, ${text} ${mhz(p[key])}`);
  el(cell, "span", {class: "subnet"}, inWords(p.subnet));
  el(cell, "button", {type: "button", "aria-label": `Copy ${p.id} as JSON`}, "copy JSON")
    .addEventListener("click", e => copy(e.target, pointJson(result, p)));
}
function drawTable(view) {
  const {result, level} = view, [, , key] = COLUMNS[sorted.column], sign = sorted.ascending ? 1 : -1;
  const rows = result.pareto.points.filter(p => p.level === level.level).sort((a, b) => {
    const [u, v] = [key(a), key(b)];
    return u == null || v == null ? (u == null) - (v == null) : sign * (u < v ? -1 : u > v ? 1 : 0);
  });
  const body = view.find("[data-points]");
  body.replaceChildren();
  for (const p of rows) {
    const row = el(body, "tr", p === view.answer ? {class: "strong"} : {});
    for (const [, name, value, fill, source] of COLUMNS) {
      const cell = el(row, "td", {"data-is": name});
      if (fill.length > 1) fill(cell, p, result);
      else el(cell, source ? "b" : "span", {}, fill(p));
      if (source && value(p) != null && p[source] !== result.main[source]) badge(cell, p[source]);
    }
  }
  [...view.find("[data-columns]").children].forEach((th, i) => th.setAttribute("aria-sort",
    i !== sorted.column ? "none" : sorted.ascending ? "ascending" : "descending"));
}
function drawColumns(view) {
  COLUMNS.forEach(([text], i) => el(el(view.find("[data-columns]"), "th"), "button", {type: "button"}, text)
    .addEventListener("click", () => {
      Object.assign(sorted, {column: i, ascending: sorted.column !== i || !sorted.ascending});
      drawTable(view);
    }));
}
