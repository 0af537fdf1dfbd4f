// What every part of the page uses: the data, numbers as text, elements, badges, strips.
const {results, asked} = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";
const known = Number.isFinite, mhz = v => `${+v.toFixed(2)} MHz`;
const COST = {latency_ms: ["Latency", "ms", "latency_source"],
  energy_mj: ["Energy", "mJ", "energy_source"]};
const CLOCKS = {gpu_mhz: "GPU", cpu_mhz: "CPU", emc_mhz: "memory"};

for (const result of results) {
  const {levels, search, baselines} = result.pareto, allowed = search?.bounds?.levels;
  result.levels = levels.filter(l => !allowed || allowed.includes(l.level));
  result.front = new Set(result.pareto.front);
  result.baselines = {};
  for (const p of baselines ?? []) (result.baselines[p.level] ??= {})[p.name] = p;
}
function short(v, digits = 3) {
  if (!known(v)) return "–";
  const n = v ? Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(v)))) : 0;
  return v.toLocaleString("en", {minimumFractionDigits: n, maximumFractionDigits: n});
}
const signed = (v, n = 0) => { // what rounds to zero has no sign
  const digits = Math.abs(v).toFixed(n);
  return (Number(digits) ? v < 0 ? "−" : "+" : "") + digits;
};
const clock = level => level.gpu_mhz ?? level.cpu_mhz;
const accuracy = p => known(p.top1_error_pct) ? 100 - p.top1_error_pct : null;
/** Costs that a model answered are not verified. */
const checked = cost => cost.source === "measured" ? "verified" : cost.source;
const percent2 = v => known(v) ? v.toFixed(2) : "–"; // an accuracy: a step of one image in 10,000
const exits = p => p.exits.after.map((k, i) => `${k}@${p.exits.thresholds[i]}`).join("+") || "none";
/** Genes that are no sizes in words: how many groups, which share of the MACs, how sparse stages are. */
const inWords = subnet => subnet.replace(/^g(\d+)$/, "groups: $1").replace(/^r(\d+)$/, (_, r) => `ratio: ${r / 1000}`)
  .replace(/-b([\d.]+)$/, (_, kept) => ` sparsity: ${kept.split(".").map(d => 100 - d + " %").join(", ")}`);
const interval = v => v ? ` [${short(v[0])} to ${short(v[1])}]` : "";
const levelOf = (result, p) => result.pareto.levels.find(l => l.level === p.level);

/** The clocks of a level; those that a point chose itself stand in their place. */
function clocks(level, p = {}) {
  const own = Object.entries(CLOCKS).map(([key, name]) => [name, p[key] ?? level[key]]);
  return own.filter(([, v]) => known(v)).map(([name, v]) => `${name} ${+v.toFixed(2)}`).join(", ") + " MHz";
}
function el(parent, name, attributes = {}, text = null) {
  const svg = parent instanceof SVGElement;
  const node = svg ? document.createElementNS(NS, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== null) node.textContent = text;
  return parent.appendChild(node);
}
function badge(parent, source) {
  const word = source || "unstated";
  el(parent, "span", {class: "src " + word.split(" ").pop().replace(/[()]/g, "")}, word);
}
/** Name, share and colour of every exit at which images leave. */
function leaving(p) {
  const last = (p.exit_rates ?? []).length - 1;
  return (p.exit_rates ?? []).map((rate, k) => k === last ? ["end", rate, "end"]
    : [`exit ${k}`, rate, `x${k % 6}`]).filter(([, rate]) => rate > 0);
}
function strip(parent, p) {
  const parts = leaving(p), percent = rate => Math.round(100 * rate);
  if (parts.length < 2) return el(parent, "small", {}, "the end, all");
  const said = parts.map(([name, rate]) => `${name}: ${percent(rate)} %`).join(", ");
  const bar = el(parent, "span", {class: "strip", role: "img", "aria-label": "Images leave at " + said});
  for (const [, rate, colour] of parts) el(bar, "i", {class: colour, style: `flex-grow: ${100 * rate}`});
  const text = el(parent, "small");
  parts.forEach(([name, rate], i) => {
    text.append((i ? " · " : "") + name + " ");
    el(text, "b", {}, String(percent(rate)));
  });
  text.append(" %");
}
/** Copy by the clipboard, or by a field that is selected where a browser refuses it to a file. */
async function copy(button, text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const field = el(document.body, "textarea", {"aria-label": "copied"});
    field.value = text;
    field.select();
    document.execCommand("copy");
    field.remove();
    button.focus();
  }
  const before = button.dataset.before ??= button.textContent;
  button.textContent = "copied";
  setTimeout(() => { button.textContent = before; }, 1500);
}
/** A point as pareto.json has it, with its device and the clocks to set. */
function pointJson(result, p) {
  const {gpu_mhz, cpu_mhz, emc_mhz, power_mode} = {...levelOf(result, p)};
  const set = {gpu_mhz, cpu_mhz: p.cpu_mhz ?? cpu_mhz, emc_mhz: p.emc_mhz ?? emc_mhz, power_mode};
  return JSON.stringify({...p, device: result.pareto.device, clocks: set}, null, 1);
}
