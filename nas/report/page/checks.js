// How far to trust the figures: target rows, verified points, how the search went on.
function scatter(view, name, rows, x, y, words, said) {
  const {svg} = view.chart(name);
  if (!svg) return;
  if (!rows.length) return empty(svg, words.none);
  const both = rows.flatMap(row => [x(row), y(row)]);
  const plot = axes(svg, both, both, {x: words.x, y: words.y, logX: words.log, logY: words.log});
  diagonal(plot, both);
  walkable([...rows].sort((a, b) => x(a) - x(b)).map(row => {
    const [kind, cls] = row.exits ? shapeOf(row) : ["circle", "plain"];
    return speaking(mark(plot, kind, 4, plot.px(x(row)), plot.py(y(row)), `mark ${cls}`), said(row));
  }));
  svg.setAttribute("aria-label", `${words.title}, ${rows.length} marks`);
}
function drawRows(view, key) {
  const [quantity, unit, source] = COST[key], predicted = "predicted_" + key;
  const rows = (view.result.pareto.target_rows ?? []).filter(r => known(r[key]) && known(r[predicted]));
  scatter(view, "rows_" + key, rows, r => r[key], r => r[predicted], {
    x: `target row, ${unit}`, y: `predicted, ${unit}`, log: true,
    none: `No target row has ${quantity.toLowerCase()}.`,
    title: `${quantity} predicted against target rows`,
  }, r => ({subnet: r.subnet, lines: [["target row", `${short(r[key])} ${unit}`, r.source],
    ["predicted", `${short(r[predicted])} ${unit}`, view.result.pareto.device[source] ?? "predicted"],
    ["heads", (r.heads || "all") + (known(r.gpu_mhz) ? `, GPU ${mhz(r.gpu_mhz)}` : "")]]}));
}
function drawVerified(view) {
  scatter(view, "verified", view.result.pareto.points.filter(p => p.verified), accuracy,
    p => accuracy(p.verified), {x: "accuracy, searched with, %", y: "accuracy, verified, %",
      title: "Verified accuracy against that of the search"}, p => about(p, p.id));
}
function drawVerifiedCost(view, key) {
  const [quantity, unit] = COST[key];
  const {points: all, verified_cost: told} = view.result.pareto, word = told ? checked(told) : "verified";
  const points = all.filter(p => known(p[key]) && known(p.verified_cost?.[key]));
  scatter(view, "verified_" + key, points, p => p[key], p => p.verified_cost[key], {
    x: `predicted, ${unit}`, y: `${word}, ${unit}`, log: true,
    none: `No point has a ${word} ${quantity.toLowerCase()}.`,
    title: `${quantity}, ${word} against predicted`}, p => about(p, p.id));
}
function drawProgress(view) {
  const {svg, result} = view.chart("progress"), steps = result.pareto.search?.progress;
  if (!svg || !steps?.length) return;
  const plot = axes(svg, steps.map(s => s.n_subnets), steps.map(s => s.hypervolume),
    {x: "subnets searched", y: "hypervolume, share of the box", fromZero: true});
  const xy = steps.map(s => [plot.px(s.n_subnets), plot.py(s.hypervolume)]);
  line(plot, xy, "largest");
  walkable(steps.map((s, i) => speaking(mark(plot, "circle", 4, ...xy[i], "mark plain"), {
    lines: [["subnets", s.n_subnets.toLocaleString("en")],
      ["hypervolume", short(s.hypervolume, 4)],
      ["points on the fronts", s.n_points.toLocaleString("en")]], subnet: ""})));
  for (const i of new Set([0, steps.length - 1])) label(plot, ...xy[i], short(steps[i].hypervolume, 4));
  svg.setAttribute("aria-label", `Hypervolume after each of ${steps.length} generations`);
}
