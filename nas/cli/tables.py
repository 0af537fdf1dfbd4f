"""A result on the screen: a row per level, what to doubt, and the answer with what to type next."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from nas.cli.answer import Comparison, answer, digits, next_steps, sentence
from nas.cli.cautions import cautions
from nas.cli.constant_latency import MEANING, constant_latency_line, ratio_choices
from nas.cli.output import command_text
from nas.cli.quality import proxies, quality
from nas.pareto import Level, ParetoTable, Point, is_predicted
from nas.pareto.records import DeviceEntry, SearchEntry
from nas.report.expected import expected_error, verified_error
from nas.report.provenance import of_batch, of_rows
from nas.report.verified import verified_cost_lines
from nas.words import counted

if TYPE_CHECKING:
    from nas.search.front.shared_set import SharedContent

COLUMNS = {
    "error": "error\n%",
    "latency": "latency\nms",
    "worst": "worst\nms",
    "energy": "energy\nmJ",
    "saved": "saved\n%",
    "exits": "exits\n",
}
DROPPED = ("exits", "worst", "latency", "energy")  # in this order, where the screen is narrow


def print_result(
    table: ParetoTable,
    pareto: Path,
    report: Path,
    *,
    legend: bool = True,
    data: Path | None = None,
) -> None:
    """Print what the file `pareto` and its `report` hold; the answer comes last.

    Of several results one after the other the first has the `legend`. `data` are the images that
    the result was verified with.
    """
    out = Console(highlight=False)
    device = table.content["device"]
    names = device["name"], device["power_mode"], device["backend"], device["precision"]
    out.print(f"\n[bold]{' '.join(filter(None, names))} batch {device['batch']}[/]")
    out.print(_sources(device))
    if said := of_batch(table.content):
        out.print(f"batch: {said}")
    if said := of_rows(table.content):
        out.print(f"[bold black on yellow] WARNING [/] {said}")
    supernet = table.content["supernet"]
    if supernet is not None and (accuracies := supernet.get("accuracies")):
        out.print(f"accuracy: {accuracies}", markup=False)
    predictors = table.content["predictors"]
    if any(entry.get("proxy") for entry in predictors.values()):
        out.print(proxies(predictors))
    for name, entry in predictors.items():
        out.print(f"{name.split('_')[0]}: {quality(entry)}")
    if said := expected_error(table.content):
        out.print(f"error: {said}")
    for line in [*_search(table.content.get("search", {})), *_verified(table)]:
        out.print(line, markup=False)
    compared, point = Comparison.of(table), answer(table)
    _print_levels(out, compared, legend=legend)
    if found := table.content.get("constant_latency"):
        out.print(f"\n{constant_latency_line(found)}")
        out.print(ratio_choices(found["by_number_of_ratios"]))
        out.print(MEANING)
    for caution in cautions(table, point):
        out.print(f"[bold black on yellow] WARNING [/] {caution.text}")
        if caution.command:
            out.print(command_text(caution.command, out.width), markup=False, soft_wrap=True)
    out.print(f"\n[bold]{sentence(compared, point)}[/]")
    for step in next_steps(table, pareto, report, point, data):
        out.print(command_text(step, out.width), markup=False, soft_wrap=True)


def _sources(device: DeviceEntry) -> str:
    """Where latency and energy are from, said loudly where no device was measured."""
    sources = {
        "latency": device.get("latency_source") or "unknown",
        "energy": device.get("energy_source") or "unknown",
    }
    same = len(set(sources.values())) == 1
    said = "; ".join(f"{name}: {source}" for name, source in sources.items())
    said = f"latency and energy: {sources['latency']}" if same else said
    if not any("simulat" in source for source in sources.values()):
        return said
    return f"[bold black on yellow] SIMULATED, NOT MEASURED [/] {said}"


def _print_levels(out: Console, compared: Comparison, *, legend: bool) -> None:
    """One row per level, with the columns that there is room for, and what they mean."""
    base = compared.baseline
    energy = "" if base["energy_mj"] is None else f", {digits(base['energy_mj'])} mJ"
    out.print(
        f"\nto compare with, the largest subnet without exits at the top clock: "
        f"{base['top1_error_pct']:.2f} % error, {digits(base['latency_ms'])} ms{energy}\n"
    )
    stops = any(point["exits"]["after"] for point in compared.table.points)
    left_out = set() if stops else {"worst", "exits"}  # those say nothing without early exits
    unbounded = out.options.update(width=10_000)
    for name in ("", *DROPPED):
        left_out.add(name)
        shown = _levels(compared, left_out)
        if out.measure(shown, options=unbounded).maximum <= out.width:
            break
    out.print(shown)
    cells = [str(cell) for column in shown.columns for cell in column.cells]
    marks = {"~": "~: predicted error", "*": "*: not from where the heading says"}
    used = [words for mark, words in marks.items() if any(c.startswith(mark) for c in cells)]
    if legend:
        more = "slower, as its clock is"
        if compared.saving == "energy":
            more = "more energy, as slow clocks draw idle power for longer"
        less = any(cell.startswith("-") and cell != "-" for cell in cells)
        exits = ["1@0.7: leaves at exit 1 when 70 % sure"] * ("exits" not in left_out)
        out.print("equal: cheapest point no less accurate; knee: best trade")
        used = [f"saved: {compared.saving}" + f"; minus: {more}" * less, *exits, *used]
    if used:
        out.print("; ".join(used))


def _levels(compared: Comparison, left_out: Collection[str]) -> Table:
    """Two points of every level: the cheapest as accurate as the largest subnet, and the knee."""
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    columns = [name for name in COLUMNS if name not in left_out]
    names = ["\nlevel\n", "\nclock\nMHz"]
    for group in ("equal:", "knee:"):
        first, *others = (COLUMNS[name] for name in columns)
        names += [f"{group}\n{first}", *(f"\n{name}" for name in others)]
    for name in names:
        shown.add_column(name, no_wrap=True, justify="right")
    knees = compared.table.knees()
    for level in compared.table.searched:
        points = {p["id"]: p for p in compared.table.at(level["level"])}
        pair = (compared.as_accurate(level["level"]), points.get(knees.get(level["level"], "")))
        cells = [_cells(compared, point) for point in pair]
        shown.add_row(
            str(level["level"]), _clock(level), *(cell[name] for cell in cells for name in columns)
        )
    return shown


def _cells(compared: Comparison, point: Point | None) -> dict[str, str]:
    """A point under COLUMNS; `~` marks a predicted error, `*` another source than the device's."""
    if point is None:
        return dict.fromkeys(COLUMNS, "-")
    device, saved = compared.table.content["device"], compared.saved_pct(point)
    own_latency = device.get("latency_source", point["latency_source"]) != point["latency_source"]
    own_energy = device.get("energy_source", point["energy_source"]) != point["energy_source"]
    predicted = "~" if is_predicted(point["error_source"]) else ""
    return {
        "error": f"{predicted}{point['top1_error_pct']:.2f}",
        "latency": "*" * own_latency + digits(point["latency_ms"]),
        "worst": digits(point["latency_worst_ms"]),
        "energy": "*" * own_energy + digits(point["energy_mj"]),
        "saved": "-" if saved is None else str(round(saved)),
        "exits": _exits(point),
    }


def _clock(level: Level) -> str:
    """In whole MHz; the answer below has it exactly."""
    return f"{level['gpu_mhz'] if level['gpu_mhz'] is not None else level['cpu_mhz']:.0f}"


def _exits(point: Point) -> str:
    exits = point["exits"]
    pairs = zip(exits["after"], exits["thresholds"], strict=True)
    return " ".join(f"{k}@{t:g}" for k, t in pairs) or "none"


def _search(search: SearchEntry) -> list[str]:
    """How far the search came, and from where; empty for files that do not say."""
    lines = []
    if progress := search.get("progress"):
        last, growth = progress[-1], ""
        if len(progress) > 1 and (before := progress[-2]["hypervolume"]):
            percent = 100 * (last["hypervolume"] / before - 1)
            growth = f", {percent:+.2f} % in the last generation"
        lines.append(
            f"search: {counted(last['n_subnets'], 'subnet')}; "
            f"hypervolume {last['hypervolume']:.4f} (1: no error at no cost){growth}"
        )
    if warm := search.get("warm_start"):
        lines.append(f"started from {counted(warm['n_subnets'], 'subnet')} of {warm['file']}")
    return lines


def _verified(table: ParetoTable) -> list[str]:
    """What real images and measured programs said of the points."""
    said = verified_error(table.content)
    return [said] * bool(said) + verified_cost_lines(table.content)


def print_shared(content: SharedContent) -> None:
    """Print which subnets serve all devices of a search."""
    devices = content["devices"]
    out = Console(highlight=False)
    out.print(
        f"\nthe fewest subnets that keep {100 - content['loss_pct']:g} % of every device's "
        "hypervolume, and what each and those before it keep, mean over levels:"
    )
    for number, row in enumerate(content["set"], start=1):
        kept = ", ".join(f"{device} {row['kept_pct'][device]:.2f} %" for device in devices)
        out.print(f"{number}. {row['subnet']}", soft_wrap=True)
        out.print(f"   {kept}")
    out.print(
        f"{len(content['on_every_front'])} of {content['n_on_some_front']} subnets are on a front "
        f"of every device"
    )
