// The level that is shown: accuracy against cost, where images leave; energy over all levels.
function drawFront(view, key) {
  const {svg, result, level} = view.chart(key), [quantity, unit] = COST[key];
  const drawable = p => known(p?.[key]) && known(accuracy(p));
  const all = result.pareto.points.filter(drawable);
  if (!all.length) return empty(svg, `There are no ${quantity.toLowerCase()} figures.`);
  const rivals = Object.entries(result.baselines[level.level] ?? {}).filter(([, p]) => drawable(p));
  const seen = [...all, ...Object.values(result.baselines).flatMap(Object.values).filter(drawable)];
  const plot = axes(svg, seen.map(p => p[key]), seen.map(accuracy),
    {x: `expected ${quantity.toLowerCase()}, ${unit}`, y: "accuracy, %", logX: true});
  const at = p => [plot.px(p[key]), plot.py(accuracy(p))];
  drawLimits(plot, key);
  const strong = all.filter(p => p.level === level.level).sort((a, b) => a[key] - b[key]);
  for (const p of all) if (p.level !== level.level) mark(plot, shapeOf(p)[0], 2.2, ...at(p), "faint", .3);
  const knee = strong.find(p => p.id === result.knees[level.level]);
  const answer = strong.find(p => p === view.answer);
  const called = $("answer").dataset.met === "true" ? "answer" : "nearest";
  const nodes = strong.map(p => {
    const [kind, cls] = shapeOf(p);
    const title = p.id + (p === answer ? `, the ${called}` : "") + (p === knee ? ", knee" : "");
    return speaking(mark(plot, kind, 5, ...at(p), `mark ${cls}`), about(p, title));
  });
  for (const [role, p] of rivals)
    nodes.push(speaking(mark(plot, "square", 5, ...at(p), "mark rival"), about(p, `${role} baseline`)));
  for (const [p, cls] of [[knee, "knee"], [answer, "chosen"]])
    if (p) mark(plot, "circle", 10, ...at(p), cls);
  if (answer) label(plot, ...at(answer), called);
  if (knee && knee !== answer) label(plot, ...at(knee), "knee");
  for (const [role, p] of rivals) label(plot, ...at(p), role);
  svg.setAttribute("aria-label",
    `Accuracy against ${quantity.toLowerCase()}, level ${level.level}, ${strong.length} points`);
  walkable(nodes);
  const told = answer ?? knee;
  if (told && key === "latency_ms") read(svg, about(told, told.id + (told === answer ? `, the ${called}` : ", knee")));
}
/** What the limits forbid, as lines. */
function drawLimits(plot, key) {
  const {left, right, top, bottom} = plot.box, {limits} = ask;
  const most = key === "latency_ms" ? limits.latency : limits.energy;
  const inside = (v, [lo, hi]) => known(v) && v > lo && v < hi;
  if (inside(limits.accuracy, plot.yr)) el(plot.svg, "line", {class: "limit", x1: left, x2: right,
    y1: plot.py(limits.accuracy), y2: plot.py(limits.accuracy)});
  if (inside(most, plot.xr)) el(plot.svg, "line", {class: "limit", x1: plot.px(most),
    x2: plot.px(most), y1: top, y2: bottom});
}
function drawRates(view) {
  const {svg, result, level} = view.chart("rates");
  if (!svg) return;
  const points = result.pareto.points.filter(p => p.level === level.level && p.exits.after.length)
    .sort((a, b) => a.latency_ms - b.latency_ms);
  if (!points.length) return empty(svg, "No point of this level has early exits.");
  const W = Math.max(260, svg.clientWidth), H = 190, left = 44, top = 8, bottom = H - 26;
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  const step = Math.min(60, (W - 12 - left) / points.length), py = share => bottom - share * (bottom - top);
  for (const share of [0, .5, 1]) {
    el(svg, "line", {class: "grid", x1: left, x2: W - 12, y1: py(share), y2: py(share)});
    el(svg, "text", {x: left - 7, y: py(share) + 4, "text-anchor": "end"}, `${100 * share} %`);
  }
  const end = left + points.length * step;
  for (const [at, anchor, p] of [[left, "start", points[0]], [end, "end", points.at(-1)]])
    el(svg, "text", {x: at, y: H - 8, "text-anchor": anchor}, `${short(p.latency_ms)} ms`);
  walkable(points.map((p, i) => {
    const bar = el(svg, "g", {class: "leave"});
    let below = 0;
    for (const [, rate, colour] of leaving(p)) {
      const y = py(below + rate);
      el(bar, "rect", {x: left + i * step + 1, y, width: Math.max(1, step - 2),
        height: Math.max(0, py(below) - y), class: colour});
      below += rate;
    }
    return speaking(bar, about(p, p.id));
  }));
  svg.setAttribute("aria-label", `Exit rates of ${points.length} points, level ${level.level}`);
}
function drawLegends(view) {
  const item = (list, text, draw) => {
    const line = el(list, "li");
    draw(line.appendChild(document.createElementNS(NS, "svg")));
    line.append(" " + text);
  };
  const stops = view.result.pareto.points.some(p => p.exits.after.length);
  const marks = view.find("[data-legend]"), leave = view.find("[data-exits]");
  for (const [kind, cls, text] of [["circle", "plain", "no early exit"],
    ["diamond", "early", "early exits"], ["square", "rival", "largest and smallest subnet without exits"],
    ["circle", "chosen", "the answer"], ["circle", "knee", "knee"], ["circle", "faint", "other levels"]])
    if (cls !== "early" || stops) item(marks, text, svg => shape(svg, kind, 5, 8, 7, cls));
  el(marks, "li", {}, "- - your limits");
  const seen = new Map(view.result.pareto.points.flatMap(leaving).map(([text, , cls]) => [text, cls]));
  const ordered = [...seen].sort(([a], [b]) => (a === "end") - (b === "end") || (a < b ? -1 : 1));
  for (const [text, cls] of leave ? ordered : [])
    item(leave, text === "end" ? "the end" : text, svg =>
      el(svg, "rect", {x: 2, y: 1, width: 12, height: 12, rx: 2, class: cls}));
}
function drawOver(view) {
  const {svg, result} = view.chart("over");
  const drawable = ([l, p]) => p && known(p.energy_mj) && known(clock(l));
  const lines = ["largest", "smallest"].map(role =>
    [role, result.levels.map(l => [l, result.baselines[l.level]?.[role]]).filter(drawable)]);
  const all = lines.flatMap(([, pairs]) => pairs);
  if (!all.length) return empty(svg, "There are no energy figures.");
  const energy = all.map(([, p]) => p.energy_mj), low = Math.min(...energy);
  const logY = Math.max(...energy) > 4 * low;
  const plot = axes(svg, all.map(([l]) => clock(l)), [...energy, low * (logY ? .65 : .9)],
    {x: `${known(result.levels[0].gpu_mhz) ? "GPU" : "CPU"} clock, MHz`, y: "energy, mJ", logY});
  const nodes = [], names = [];
  for (const [role, pairs] of lines.filter(([, pairs]) => pairs.length)) {
    const xy = pairs.map(([l, p]) => [plot.px(clock(l)), plot.py(p.energy_mj)]);
    line(plot, xy, role);
    const [best, p] = pairs.reduce((a, b) => b[1].energy_mj < a[1].energy_mj ? b : a);
    const cls = role === "largest" ? "mark plain" : "mark early";
    pairs.forEach(([l, q], i) => {
      const [kind, r] = q === p ? ["diamond", 6] : ["circle", 4];
      nodes.push(speaking(mark(plot, kind, r, ...xy[i], cls), about(q, `${role} at ${mhz(clock(l))}`)));
    });
    names.push([plot.px(clock(best)), plot.py(p.energy_mj),
      `${role}: least ${short(p.energy_mj)} mJ at ${mhz(clock(best))}`]);
  }
  for (const one of names) label(plot, ...one);
  svg.setAttribute("aria-label", "Energy of the largest and the smallest subnet over the clocks");
  walkable(nodes);
}
