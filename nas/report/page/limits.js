// The question: limits, what meets them, what is nearest; and the address that keeps them.
// `nas.read_pareto(FILE).cheapest(...)` is the same question in Python.
const LIMITS = [
  {key: "accuracy", name: "Accuracy", unit: "%", field: "top1_error_pct", argument: "max_error_pct", atLeast: true},
  {key: "latency", name: "Expected latency", unit: "ms", field: "latency_ms", argument: "max_latency_ms"},
  {key: "worst", name: "Worst latency", unit: "ms", field: "latency_worst_ms", argument: "max_worst_latency_ms"},
  {key: "energy", name: "Energy", unit: "mJ", field: "energy_mj", argument: "max_energy_mj"},
];
const everyLevel = () => results.map(result => new Set(result.levels.map(l => l.level)));
const proposed = () => ({limits: {...asked}, levels: everyLevel()});

/** An accuracy is a limit of the error; the rounding takes away what the subtraction adds. */
const cost = (limit, value) => limit.atLeast ? Number((100 - value).toFixed(9)) : value;
const shown = cost; // the same sum leads back
const given = ({limits}) => LIMITS.filter(limit => known(limits[limit.key]));
const meets = (state, limit, p) =>
  known(p[limit.field]) && p[limit.field] <= cost(limit, state.limits[limit.key]);

function allowed(state) {
  return results.flatMap((result, i) =>
    result.pareto.points.filter(p => state.levels[i].has(p.level)).map(p => ({result, p})));
}
/** Least energy, then least latency, then the id. */
function cheaper(a, b) {
  for (const key of ["energy_mj", "latency_ms", "id"]) {
    const [u, v] = [a.p[key] ?? Infinity, b.p[key] ?? Infinity];
    if (u !== v) return u < v ? -1 : 1;
  }
  return 0;
}
const least = (found, order) => found.reduce((a, b) => order(b, a) < 0 ? b : a, found[0]);
const cheapest = state => least(
  allowed(state).filter(({p}) => given(state).every(limit => meets(state, limit, p))), cheaper);

/** The share by which a point misses the limit that it misses most. */
function overshoot(state, p) {
  return Math.max(...given(state).map(limit => {
    const most = cost(limit, state.limits[limit.key]);
    return known(p[limit.field]) ? (p[limit.field] - most) / Math.max(most, 1e-9) : Infinity;
  }));
}
const nearest = state => least(allowed(state),
  (a, b) => overshoot(state, a.p) - overshoot(state, b.p) || cheaper(a, b));

/** What each limit alone would have to be, the others kept: rounded to what is still met. */
function loosened(state) {
  return given(state).flatMap(limit => {
    const others = given(state).filter(other => other !== limit);
    const values = allowed(state).map(({p}) => p)
      .filter(p => known(p[limit.field]) && others.every(other => meets(state, other, p)))
      .map(p => p[limit.field]);
    return values.length ? [[limit, rounded(limit, Math.min(...values))]] : [];
  });
}
/** The tightest limit of few digits that a point of this cost meets. */
function rounded(limit, value) {
  const digits = limit.atLeast ? 2 : Math.max(0, 2 - Math.floor(Math.log10(value)));
  const round = limit.atLeast ? Math.floor : Math.ceil, step = 10 ** digits;
  return Number((round(Number((shown(limit, value) * step).toFixed(6))) / step).toFixed(digits));
}
function python(state, result) {
  const i = results.indexOf(result), words = given(state)
    .map(limit => `${limit.argument}=${cost(limit, state.limits[limit.key])}`);
  const levels = [...state.levels[i]].sort((a, b) => a - b);
  if (levels.length < result.levels.length) words.push(`levels=[${levels.join(", ")}]`);
  return `cheapest(${words.join(", ")})`;
}

// ---- the address --------------------------------------------------------------------------------
const levelsKey = i => results.length > 1 ? `levels.${results[i].label}` : "levels";
function ranges(numbers) { // 0,4,8-14
  const sorted = [...numbers].sort((a, b) => a - b), parts = [];
  for (const n of sorted) {
    if (parts.length && parts.at(-1)[1] === n - 1) parts.at(-1)[1] = n;
    else parts.push([n, n]);
  }
  return parts.map(([a, b]) => a === b ? a : `${a}-${b}`).join(",");
}
function toAddress(state) {
  const words = new URLSearchParams();
  for (const {key} of given(state)) words.set(key, state.limits[key]);
  results.forEach((result, i) => {
    if (state.levels[i].size < result.levels.length) words.set(levelsKey(i), ranges(state.levels[i]));
  });
  return "#" + (words.toString() || "none");
}
/** The limits in an address; what is no number or no level there is no limit. */
function fromAddress(hash) {
  if (hash.length < 2) return proposed();
  const words = new URLSearchParams(hash.slice(1)), state = {limits: {}, levels: everyLevel()};
  for (const {key} of LIMITS) {
    const value = parseFloat(words.get(key));
    if (known(value)) state.limits[key] = value;
  }
  results.forEach((result, i) => {
    const text = words.get(levelsKey(i));
    if (text === null) return;
    const pairs = text.split(",").filter(Boolean).map(part => part.split("-").map(Number));
    const inside = n => pairs.some(([a, b = a]) => a <= n && n <= b);
    state.levels[i] = new Set(result.levels.map(l => l.level).filter(inside));
  });
  return state;
}
