"""What is measured, predicted or simulated: said once for a page, marked only where it differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nas.pareto.provenance import (
    MEASURED,
    ON_PUBLISHED,
    ON_SIMULATED,
    PREDICTED,
    PUBLISHED,
    SCALED,
    SIMULATED,
)
from nas.pareto.records import ParetoContent
from nas.report.expected import expected_error

FIELDS = {
    "accuracy": ("top1_error_pct", "error_source"),
    "latency": ("latency_ms", "latency_source"),
    "energy": ("energy_mj", "energy_source"),
}
MEANING = {
    MEASURED: "",
    SIMULATED: "from the analytic model of the device",
    PREDICTED: "from measured rows",
    PUBLISHED: "by others, not measured here",
    ON_PUBLISHED: "by a predictor that learned from what others published",
    ON_SIMULATED: "by a predictor that learned from an analytic model of the device",
    SCALED: "by an analytic model of the device, scaled to rows",
}


def main_sources(content: ParetoContent) -> dict[str, str | None]:
    """By name of a source's field what a figure is unless it is marked: `measured` where some
    are, else what most are."""
    return {field: _main(counts) for _, field, counts in _counted(content)}


def banner(labels: Sequence[str], contents: Sequence[ParetoContent]) -> list[dict[str, Any]]:
    """What stands at the top of a page, once for all devices of which the same is true."""
    said: dict[str, dict[str, Any]] = {}
    for label, content in zip(labels, contents, strict=True):
        one: dict[str, Any] = {"lines": _lines(content), "no_go": _no_go(content)}
        one["expected"], one["batch"] = expected_error(content), of_batch(content)
        one["rows_of"] = of_rows(content)
        simulated = any("simulat" in line["source"] for line in one["lines"])
        one["warn"] = one["no_go"] or one["rows_of"] or simulated
        said.setdefault(repr(one), {"labels": [], **one})["labels"].append(label)
    return list(said.values())


def of_batch(content: ParetoContent) -> str:
    """What costs are of where a device runs several images at once; empty for one."""
    device = content["device"]
    n = device.get("rows_of", {}).get("batch", str(device["batch"]))
    if n == "1":
        return ""
    exits = any(point["exits"]["after"] for point in content["points"])
    leave = ", with early exits as if all of them left at the same one" if exits else ""
    return f"costs are those of {n} images at once{leave}"


def of_rows(content: ParetoContent) -> str:
    """What the rows of the target were measured with where that was not asked; empty for nothing.

    Whatever is said of the device, the costs are those of its rows.
    """
    device = content["device"]
    asked: dict[str, object] = {**device}
    other = device.get("rows_of", {})
    told = [f"{name} {own}, asked was {asked.get(name)}" for name, own in other.items()]
    return f"costs are those of the target's rows: {'; '.join(told)}" if told else ""


def _lines(content: ParetoContent) -> list[dict[str, str]]:
    """`names` of quantities, their `source`, its `meaning`, and `rest`: what is marked."""
    lines: list[dict[str, str]] = []
    for name, field, counts in _counted(content):
        main = _main(counts)
        if main is None:
            continue
        others = {source: n for source, n in counts.items() if source != main}
        meaning = MEANING.get(main, "")
        if field == "error_source" and main == PREDICTED:
            meaning = "from subnets whose accuracy is known"
        rest = " and ".join(
            f"{n} of {counts.total()} {source}, marked" for source, n in others.items()
        )
        last = lines[-1] if lines else None
        if last and (last["source"], last["meaning"], last["rest"]) == (main, meaning, rest):
            last["names"] += f" and {name}"
        else:
            lines.append({"names": name, "source": main, "meaning": meaning, "rest": rest})
    return lines


def _counted(content: ParetoContent) -> Iterator[tuple[str, str, Counter[str]]]:
    """A quantity, the field of its source, how many points are of each source."""
    points: list[Mapping[str, Any]] = [*content["points"]]
    for name, (key, field) in FIELDS.items():
        yield name, field, Counter(p[field] or "unstated" for p in points if p.get(key) is not None)


def _main(counts: Counter[str]) -> str | None:
    if MEASURED in counts:
        return MEASURED
    return counts.most_common(1)[0][0] if counts else None


def _no_go(content: ParetoContent) -> dict[str, Any] | None:
    """Which predictors may not be trusted: their quantities and the first of them."""
    entries = {key: one for key, one in (content.get("predictors") or {}).items() if one}
    found = [key for key, one in entries.items() if one.get("decision") == "no-go"]
    if not found:
        return None
    names = [key.rsplit("_", 1)[0] for key in found]
    return {"names": names, "predictor": entries[found[0]]}
