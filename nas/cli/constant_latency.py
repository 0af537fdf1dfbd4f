"""One latency at every clock, on the screen: what the best K ratios hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from nas.pareto.records import ConstantLatency, RatioChoice


def ratio_choices(rows: Sequence[RatioChoice]) -> Table:
    """One row for every number of ratios."""
    shown = Table("ratios", "CV", "evenly", "variance less", "latency ms", "error %", box=None)
    for row in rows:
        evenly, less = row["cv_spread_evenly"], row["variance_less"]
        shown.add_row(
            f"{row['n_ratios']}", f"{row['cv']:.3f}", "-" if evenly is None else f"{evenly:.3f}",
            "-" if less is None else f"{less:.0f}", "{:.3f} to {:.3f}".format(*row["latency_ms"]),
            "{:.2f} to {:.2f}".format(*row["top1_error_pct"]),
        )  # fmt: skip
    return shown


def constant_latency_line(found: ConstantLatency) -> str:
    """What the rows are of."""
    levels, whole = found["levels"], found["by_number_of_ratios"][0]["ratios"][0]
    return (
        f"one latency at every clock, levels {levels[0]} to {levels[-1]}: the target is "
        f"{found['target_ms']:.3f} ms, ratio {whole:g} at the fastest of them; the best K ratios "
        "without exits:"
    )


MEANING = (
    "K ratios are those of the least squared distance from the target, within the limits of the "
    "search where K of them allow it. CV: standard deviation of the latency over these levels by "
    "its mean; evenly: about what ratios spread evenly leave, ln(s) / (3.46 (K - 1)) over a speed "
    "range s. Of all ratios, `nas export --one-latency` writes the one of every clock"
)
