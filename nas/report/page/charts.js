// Axes, marks, labels that cover no mark, and the line below a chart that reads a mark out.
function range(values, log, fromZero) {
  const lo = Math.min(...values), hi = Math.max(...values);
  if (log) { const f = (hi / lo) ** .05 || 1; return hi > lo ? [lo / f, hi * f] : [lo / 2, hi * 2]; }
  const pad = (hi - lo) * .06 || Math.abs(hi) * .1 || 1;
  return fromZero ? [0, hi * 1.15 || 1] : [lo - pad, hi + pad];
}
function ticks([lo, hi], log, n) {
  const found = [];
  if (log && hi / lo > 5) {
    const factors = hi / lo > 200 ? [1] : [1, 2, 5];
    for (let p = 10 ** Math.floor(Math.log10(lo)); p <= hi; p *= 10)
      for (const m of factors) if (m * p >= lo && m * p <= hi) found.push(m * p);
    return found;
  }
  const raw = (hi - lo) / n, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find(m => m * power >= raw) * power;
  for (let i = Math.ceil(lo / step); i * step <= hi; i++) found.push(i * step || 0);
  return found;
}
function axes(svg, xs, ys, {x, y, logX = false, logY = false, fromZero = false}) {
  svg.replaceChildren();
  const W = Math.max(260, svg.clientWidth), H = Math.round(Math.min(400, Math.max(270, W * .6)));
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  const box = {left: 44, right: W - 12, top: 24, bottom: H - 40};
  const xr = range(xs, logX), yr = range(ys, logY, fromZero);
  const scale = ([lo, hi], a, b, f) => v => a + (f(v) - f(lo)) / (f(hi) - f(lo)) * (b - a);
  const px = scale(xr, box.left, box.right, logX ? Math.log : Number);
  const py = scale(yr, box.bottom, box.top, logY ? Math.log : Number);
  const label = v => v.toLocaleString("en", {maximumSignificantDigits: 4});
  for (const t of ticks(xr, logX, W / 90)) {
    el(svg, "line", {class: "grid", x1: px(t), x2: px(t), y1: box.top, y2: box.bottom});
    el(svg, "text", {x: px(t), y: box.bottom + 16, "text-anchor": "middle"}, label(t));
  }
  for (const t of ticks(yr, logY, H / 60)) {
    el(svg, "line", {class: "grid", x1: box.left, x2: box.right, y1: py(t), y2: py(t)});
    el(svg, "text", {x: box.left - 7, y: py(t) + 4, "text-anchor": "end"}, label(t));
  }
  el(svg, "text", {class: "axis", x: box.right, y: H - 5, "text-anchor": "end"}, x + (logX ? ", log" : ""));
  el(svg, "text", {class: "axis", x: 0, y: 11}, y + (logY ? ", log" : ""));
  return {svg, px, py, box, xr, yr, taken: []};
}
const SHAPES = {
  circle: r => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  diamond: r => `M0,${-1.35 * r}L${1.35 * r},0L0,${1.35 * r}L${-1.35 * r},0Z`,
  square: r => `M${-r},${-r}H${r}V${r}H${-r}Z`,
};
const shape = (svg, kind, r, x, y, cls) =>
  el(svg, "path", {d: SHAPES[kind](r), transform: `translate(${x},${y})`, class: cls});
const shapeOf = p => p.exits.after.length ? ["diamond", "early"] : ["circle", "plain"];

/** A name beside (x, y), where it covers no mark of `taken`, with a line to it if that is far. */
function label(plot, x, y, text) {
  const node = el(plot.svg, "text", {class: "name"}, text), {width} = node.getBBox(), height = 13;
  const {left, right, top, bottom} = plot.box;
  let best = null;
  for (const away of [14, 24, 38, 56, 80, 110]) for (let turn = 0; turn < 16; turn++) {
    const angle = turn * Math.PI / 8, wide = x + Math.cos(angle) * (away + width / 2);
    const cx = Math.max(left + width / 2, Math.min(right - width / 2, wide));
    const cy = y + Math.sin(angle) * away;
    const at = {l: cx - width / 2, r: cx + width / 2, t: cy - height / 2, b: cy + height / 2};
    if (at.t < top || at.b > bottom) continue;
    const hits = plot.taken.reduce((sum, m) => sum + (at.l < m.x + m.r && at.r > m.x - m.r
      && at.t < m.y + m.r && at.b > m.y - m.r ? m.weight : 0), 0);
    const price = hits + away / 100;
    if (!best || price < best.price) best = {price, away, cx, cy, at};
  }
  if (!best) return node.remove();
  node.setAttribute("x", best.at.l);
  node.setAttribute("y", best.cy + 4);
  if (best.away > 14) {
    const end = Math.max(best.at.l, Math.min(best.at.r, x));
    const foot = best.cy < y ? best.at.b : best.at.t;
    plot.svg.insertBefore(
      el(plot.svg, "line", {class: "leader", x1: x, y1: y, x2: end, y2: foot}), node);
  }
  for (let at = best.at.l; at <= best.at.r + 8; at += 8)
    plot.taken.push({x: at, y: best.cy, r: 8, weight: 10});
}
/** A mark, remembered so that no label covers it. */
function mark(plot, kind, r, x, y, cls, weight = 10) {
  plot.taken.push({x, y, r: r + 3, weight});
  return shape(plot.svg, kind, r, x, y, cls);
}

/** A line through points, remembered as marks are. */
function line(plot, xy, cls) {
  el(plot.svg, "path", {class: `line ${cls}`, d: "M" + xy.join("L")});
  xy.slice(1).forEach(([x, y], i) => {
    for (let t = 0; t < 1; t += .1)
      plot.taken.push({x: x + (xy[i][0] - x) * t, y: y + (xy[i][1] - y) * t, r: 3, weight: 5});
  });
}

// ---- what a mark says: lines of [name, text, source] ------------------------------------------
function about(p, title) {
  const lines = [[title, `exits ${exits(p)}`], ["accuracy", `${percent2(accuracy(p))} %`, p.error_source]];
  if (known(p.error_se_pct)) lines.push(["on new images",
    `${percent2(100 - p.expected_error_pct)} ± ${percent2(p.error_se_pct)} %`, "predicted"]);
  if (known(p.latency_ms)) lines.push(["latency", `${short(p.latency_ms)} ms`
    + `${interval(p.latency_interval_ms)}, worst ${short(p.latency_worst_ms)} ms`, p.latency_source]);
  if (known(p.energy_mj)) lines.push(["energy", `${short(p.energy_mj)} mJ`, p.energy_source]);
  const {verified, verified_cost: cost} = p;
  if (verified) lines.push(["verified", `${percent2(accuracy(verified))} % on ${verified.split}`, "measured"]);
  if (cost) lines.push(["verified cost", `${short(cost.latency_ms)} ms, worst ${short(cost.latency_worst_ms)} ms`
    + (known(cost.energy_mj) ? `, ${short(cost.energy_mj)} mJ` : ""), cost.source]);
  const own = [["CPU", p.cpu_mhz], ["memory", p.emc_mhz]].filter(([, v]) => known(v));
  if (own.length) lines.push(["own clocks", own.map(([n, v]) => `${n} ${mhz(v)}`).join(", ")]);
  const parts = leaving(p);
  if (parts.length > 1)
    lines.push(["leave at", parts.map(([name, rate]) => `${name} ${Math.round(100 * rate)} %`).join(", ")]);
  return {lines, subnet: inWords(p.subnet)};
}
function read(svg, {lines, subnet}) {
  const box = svg.parentElement.querySelector("[data-said]");
  box.replaceChildren();
  for (const [name, text, source] of lines) {
    const words = el(box, "span");
    el(words, "b", {}, name + " ");
    words.append(text + " ");
    if (source !== undefined) badge(words, source);
  }
  if (subnet) el(box, "code", {}, subnet);
}
function speaking(node, said) {
  const text = said.lines.map(line => line.filter(Boolean).join(" ")).join(", ");
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", said.subnet ? `${text}, ${said.subnet}` : text);
  node.setAttribute("tabindex", -1);
  for (const event of ["mouseenter", "focus", "click"])
    node.addEventListener(event, () => read(node.ownerSVGElement, said));
  return node;
}
function walkable(nodes) { // one tab stop per chart; arrow keys move inside
  nodes[0]?.setAttribute("tabindex", 0);
  nodes.forEach((node, i) => node.addEventListener("keydown", e => {
    const next = nodes[i + ({ArrowRight: 1, ArrowLeft: -1}[e.key] ?? NaN)];
    if (next) { e.preventDefault(); next.focus(); }
  }));
}
function empty(svg, text) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${Math.max(260, svg.clientWidth)} 40`);
  el(svg, "text", {x: 0, y: 20}, text);
  svg.nextElementSibling.hidden = true; // nothing to point at
}
function diagonal(plot, both) {
  const [lo, hi] = [Math.min(...both), Math.max(...both)];
  el(plot.svg, "line", {class: "diagonal", x1: plot.px(lo), x2: plot.px(hi),
    y1: plot.py(lo), y2: plot.py(hi)});
}
