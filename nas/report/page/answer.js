// The form of limits, and the card that answers it.
const SLIDER = 400; // steps
let ask = fromAddress(location.hash);

function ends(limit) {
  const values = results.flatMap(r => r.pareto.points).map(p => p[limit.field]).filter(known);
  return values.length ? [Math.min(...values), Math.max(...values)] : null;
}
/** A slider's place from loose (0) to tight, and back; costs on a logarithmic scale. */
function place(limit, [lo, hi], value) {
  const v = Math.max(lo, Math.min(hi, cost(limit, value)));
  const share = limit.atLeast ? (hi - v) / (hi - lo) : Math.log(hi / v) / Math.log(hi / lo);
  return Math.round(SLIDER * (share || 0));
}
function atPlace(limit, [lo, hi], step) {
  if (step <= 0) return null;
  const t = step / SLIDER, v = limit.atLeast ? hi - t * (hi - lo) : hi * (lo / hi) ** t;
  return rounded(limit, Math.max(v, lo));
}
function buildForm() {
  for (const limit of LIMITS) {
    const span = ends(limit);
    if (!span) continue;
    const row = el($("sliders"), "div", {class: "limit-row"}), sense = limit.atLeast ? "at least" : "at most";
    const text = el(row, "label", {for: "n-" + limit.key}, limit.name + " ");
    el(text, "small", {}, sense);
    const number = el(row, "input", {id: "n-" + limit.key, type: "number", step: "any", min: 0,
      inputmode: "decimal", placeholder: "any"});
    el(row, "span", {}, limit.unit);
    const slider = el(row, "input", {type: "range", min: 0, max: SLIDER, step: 1,
      "aria-label": `${limit.name} ${sense}, from loose to tight`});
    limit.inputs = {number, slider, span};
    number.addEventListener("input", () => setLimit(limit, number.value === "" ? null : +number.value));
    slider.addEventListener("input", () => setLimit(limit, atPlace(limit, span, +slider.value)));
  }
  const boxes = [...$("levels").querySelectorAll("fieldset")];
  boxes.forEach((box, i) => {
    const checks = [...box.querySelectorAll("input")];
    const change = () => changed({...ask, levels: ask.levels.with(i,
      new Set(checks.filter(c => c.checked).map(c => +c.value)))});
    for (const check of checks) check.addEventListener("change", change);
    for (const button of box.querySelectorAll("button")) button.addEventListener("click", () => {
      for (const check of checks) check.checked = Boolean(button.dataset.all);
      change();
    });
  });
  $("limits").addEventListener("submit", e => e.preventDefault());
  $("limits").addEventListener("reset", e => { e.preventDefault(); changed(proposed()); });
  $("loosen").addEventListener("click", () => changed({limits: {}, levels: everyLevel()}));
}
const setLimit = (limit, value) => changed({...ask, limits: {...ask.limits, [limit.key]: value}});

function fillForm() {
  for (const limit of LIMITS.filter(l => l.inputs)) {
    const value = ask.limits[limit.key], {number, slider, span} = limit.inputs;
    if (document.activeElement !== number) number.value = known(value) ? value : "";
    if (document.activeElement !== slider) slider.value = known(value) ? place(limit, span, value) : 0;
    slider.setAttribute("aria-valuetext", known(value) ? `${value} ${limit.unit}` : "any");
  }
  let n = 0, of = 0;
  [...$("levels").querySelectorAll("fieldset")].forEach((box, i) => {
    for (const check of box.querySelectorAll("input")) {
      check.checked = ask.levels[i].has(+check.value);
      n += check.checked;
      of += 1;
    }
  });
  $("allowed").textContent = n === of ? `all ${of}` : `${n} of ${of}`;
}

// ---- the card -----------------------------------------------------------------------------------
function drawAnswer() {
  const box = $("answer"), found = cheapest(ask), best = found ?? nearest(ask);
  // the head stays in the page, so that a screen reader says what changes in it
  const head = box.querySelector("[role=status]") ?? el(box, "div", {role: "status"});
  for (const node of [...box.children]) if (node !== head) node.remove();
  head.replaceChildren();
  delete box.dataset.point;
  delete box.dataset.met;
  if (!best) {
    el(head, "h2", {}, "No level is allowed");
    el(head, "p", {}, "Allow a clock level to get an answer.");
    return null;
  }
  if (!found) drawMissed(head, best);
  drawHead(head, best, Boolean(found));
  drawFigures(box, best);
  drawExits(box, best.p);
  drawCommands(box, best, Boolean(found));
  box.dataset.point = best.p.id;
  box.dataset.met = Boolean(found);
  return best;
}
function drawHead(head, {result, p}, met) {
  el(head, "p", {class: "eyebrow"}, (met ? "The cheapest with " : "The nearest to ") + wanted());
  const title = el(head, "h2", {}, `Level ${p.level} `);
  el(title, "span", {}, (results.length > 1 ? `of ${result.label}, ` : "") + clocks(levelOf(result, p), p));
  const rival = topRival(result);
  if (rival) el(head, "p", {}, compared(p, rival));
}
/** The limits in words; a page on paper has no form. */
function wanted() {
  const words = given(ask).map(limit =>
    `${limit.name.toLowerCase()} ${limit.atLeast ? "≥" : "≤"} ${ask.limits[limit.key]} ${limit.unit}`);
  const levels = results.flatMap((result, i) => ask.levels[i].size < result.levels.length
    ? [`${results.length > 1 ? result.label + " " : ""}level ${ranges(ask.levels[i]) || "none"}`] : []);
  return [...words, ...levels].join(", ") || "no limits";
}
const topRival = result => result.baselines[result.pareto.levels.at(-1).level]?.largest;

/** `Saves 41 % of the energy ..., loses 0.85 points of accuracy.` */
function compared(p, rival) {
  const percent = key => known(p[key]) && known(rival[key]) ? 100 * (1 - p[key] / rival[key]) : null;
  const costs = [["energy", percent("energy_mj")], ["latency", percent("latency_ms")]].filter(([, v]) => known(v));
  const said = v => `${Math.abs(v).toFixed(0)} %`, parts = [];
  const saves = costs.filter(([, v]) => v >= 0.5).map(([name, v]) => `${said(v)} of the ${name}`);
  const takes = costs.filter(([, v]) => v <= -0.5).map(([name, v]) => `${said(v)} more ${name}`);
  if (saves.length) parts.push("saves " + saves.join(" and "));
  if (takes.length) parts.push("takes " + takes.join(" and "));
  if (!parts.length) parts.push("costs the same");
  const gain = +(rival.top1_error_pct - p.top1_error_pct).toFixed(2);
  if (gain) parts.push(`${gain < 0 ? "loses" : "gains"} ${Math.abs(gain).toFixed(2)} points of accuracy`);
  else parts.push("loses no accuracy");
  return `Against the largest subnet without exits at the top clock it ${parts.join(", ")}.`;
}
function drawMissed(head, {p}) {
  el(head, "h2", {class: "missed"}, "Nothing meets these limits");
  const missed = given(ask).filter(limit => !meets(ask, limit, p)).map(limit => known(p[limit.field])
    ? `${limit.name.toLowerCase()} is ${digits(limit, p)} ${limit.unit} instead of ${ask.limits[limit.key]} ${limit.unit}`
    : `${limit.name.toLowerCase()} is unknown`);
  el(head, "p", {}, `Of the point below the ${missed.join("; the ")}. `);
  const ways = loosened(ask).map(([limit, value]) => [
    `${limit.name.toLowerCase()} ${limit.atLeast ? "≥" : "≤"} ${value} ${limit.unit}`,
    () => setLimit(limit, value)]);
  const open = {...ask, levels: everyLevel()};
  if (cheapest(open)) ways.push(["every level", () => changed(open)]);
  const row = el(head, "p", {class: "row"}, ways.length ? "Enough would be: " : "No limit alone is in the way: loosen several.");
  for (const [text, act] of ways) el(row, "button", {type: "button"}, text).addEventListener("click", act);
}
const digits = (limit, p) =>
  limit.atLeast ? percent2(accuracy(p)) : short(p[limit.field]);

function drawFigures(box, {result, p}) {
  const rivals = [["largest, same level", result.baselines[p.level]?.largest],
    ["largest, top clock", topRival(result)]].filter(([, q]) => q);
  const table = el(box, "table", {class: "figures"}), head = el(el(table, "thead"), "tr"), body = el(table, "tbody");
  el(head, "td");
  for (const text of ["this point", ...rivals.map(([name]) => name)]) el(head, "th", {scope: "col"}, text);
  for (const limit of LIMITS) {
    if (!known(p[limit.field])) continue;
    const row = el(body, "tr", {class: known(ask.limits[limit.key]) && !meets(ask, limit, p) ? "missed" : ""});
    el(row, "th", {scope: "row"}, limit.name);
    const source = {accuracy: p.error_source, energy: p.energy_source}[limit.key] ?? p.latency_source;
    const cell = el(row, "td");
    el(cell, "b", {}, digits(limit, p));
    cell.append(` ${limit.unit} `);
    if (limit.key === "latency" && p.latency_interval_ms)
      el(cell, "small", {title: "90 % interval"}, interval(p.latency_interval_ms));
    badge(cell, source);
    drawVerifiedFigure(cell, limit, p);
    for (const [, q] of rivals) drawRival(el(row, "td"), limit, p, q);
  }
}
/** What was found of this figure after the search, by images or by programs that ran. */
function drawVerifiedFigure(cell, limit, p) {
  const {verified, verified_cost: cost} = p;
  const value = limit.atLeast ? verified && percent2(accuracy(verified)) : cost && short(cost[limit.field]);
  if (!value || value === "–") return;
  const of = limit.atLeast ? ` on ${verified.n_images.toLocaleString("en")} ${verified.split} images` : "";
  const word = limit.atLeast ? "verified" : checked(cost);
  el(cell, "small", {class: "check"}, `${word}${of}: ${value} ${limit.unit} `);
  badge(cell.lastChild, limit.atLeast ? "measured" : cost.source);
}
function drawRival(cell, limit, p, q) {
  if (!known(q[limit.field])) return cell.append("–");
  cell.append(`${digits(limit, q)} ${limit.unit} `);
  const change = limit.atLeast ? q[limit.field] - p[limit.field] : 100 * (p[limit.field] / q[limit.field] - 1);
  const better = limit.atLeast ? change >= 0 : change <= 0;
  el(cell, "small", {class: better ? "better" : "worse"},
    limit.atLeast ? `${signed(change, 2)}` : `${signed(change)} %`);
}
function drawExits(box, p) {
  if (!p.exits.after.length) return el(box, "p", {}, "No early exit: every image runs to the end.");
  const asks = p.exits.after.map((k, i) => `exit ${k} from a confidence of ${p.exits.thresholds[i]}`);
  el(box, "p", {class: "tight"}, `Images leave early, at ${asks.join(", at ")}:`);
  strip(el(box, "p", {class: "big"}), p);
}
function drawCommands(box, {result, p}, met) {
  const {file, shell, pareto} = result, row = el(box, "p", {class: "row"});
  const button = (text, what) => el(row, "button", {type: "button"}, text)
    .addEventListener("click", e => copy(e.target, what()));
  const command = `nas export --pareto ${shell} --id ${p.id} --data DIR --out board`;
  if (pareto.supernet?.sha256) button("Copy the export command", () => command);
  button("Copy the point as JSON", () => pointJson(result, p));
  button("Copy a link to this answer", () => location.href.split("#")[0] + toAddress(ask));
  el(box, "code", {class: "block"}, inWords(p.subnet)).before(el(box, "small", {}, `Subnet of the point ${p.id}`));
  if (pareto.supernet?.sha256) {
    el(box, "small", {}, "Export of this point alone; DIR has the training images; the zoo's supernet needs none");
    el(box, "code", {class: "block", id: "command"}, command);
  }
  if (!met) return;
  el(box, "small", {}, "The same question in Python");
  el(box, "code", {class: "block", id: "python"}, `nas.read_pareto(${JSON.stringify(file)}).${python(ask, result)}`);
}
