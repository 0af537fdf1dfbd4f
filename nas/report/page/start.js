// One view per device; what changes when a limit, a level or the width changes.
const views = [...document.querySelectorAll("article")].map((article, i) => {
  const find = selector => article.querySelector(selector);
  const view = {article, result: results[i], level: results[i].levels.at(-1), answer: null, find};
  view.chart = name => {
    const svg = find(`[data-chart="${name}"]`);
    if (svg) svg.nextElementSibling.hidden = false; // it says what is pointed at
    return {svg, result: view.result, level: view.level};
  };
  return view;
});
let view = views[0];

/** New limits: the answer, the level that it is at, the address. */
function changed(state, {address = true} = {}) {
  ask = state;
  if (address) history.replaceState(null, "", toAddress(ask));
  fillForm();
  const best = drawAnswer();
  for (const one of views) one.answer = best && best.result === one.result ? best.p : null;
  if (!best) return drawLevel();
  const next = views[results.indexOf(best.result)];
  next.level = levelOf(next.result, best.p);
  show(next);
}
/** A device and its level on the page. */
function show(next) {
  const other = next !== view;
  view = next;
  for (const one of views) one.article.hidden = one !== view;
  for (const [i, button] of [...$("devices")?.children ?? []].entries())
    button.setAttribute("aria-pressed", views[i] === view);
  if (other) drawWhole();
  drawLevel();
}
function drawLevel() {
  const {level, result} = view, numbers = result.levels.map(l => l.level);
  const text = `${level.level} of ${numbers[0]} to ${numbers.at(-1)}: ${clocks(level)}`;
  view.find("[data-clocks]").textContent = text;
  const slider = view.find("[data-level]");
  slider.value = numbers.indexOf(level.level);
  slider.setAttribute("aria-valuetext", text);
  for (const button of view.article.querySelectorAll("[data-show]"))
    button.closest("tbody").classList.toggle("chosen", +button.dataset.show === level.level);
  view.find("[data-level-name]").textContent = `level ${level.level}`;
  drawTable(view);
  for (const key of Object.keys(COST)) drawFront(view, key);
  drawRates(view);
}
function drawWhole() { // what does not depend on the level
  drawOver(view);
  drawProgress(view);
  drawVerified(view);
  for (const key of Object.keys(COST)) { drawRows(view, key); drawVerifiedCost(view, key); }
}
for (const one of views) {
  drawColumns(one);
  drawLegends(one);
  one.find("[data-level]").addEventListener("input", e => {
    one.level = one.result.levels[e.target.value];
    drawLevel();
  });
  for (const button of one.article.querySelectorAll("[data-show]"))
    button.addEventListener("click", () => {
      one.level = one.result.levels.find(l => l.level === +button.dataset.show);
      drawLevel();
    });
}
[...$("devices")?.children ?? []].forEach((button, i) =>
  button.addEventListener("click", () => show(views[i])));
buildForm();
$("levels").open = innerWidth >= 900;
changed(ask, {address: false});
drawWhole();
addEventListener("hashchange", () => changed(fromAddress(location.hash), {address: false}));
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  drawWhole();
  drawLevel();
});
