"""What few target rows say of proxies, as a page to act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from nas.report.calibration import calibration_svg
from nas.report.html import environment


def transfer_report_html(judged: Mapping[str, Any], *, device: str, space: str) -> str:
    """The page of `Judgement`s by quantity; opens without a network."""
    parts = [
        {"entry": one.to_dict(), "ranked": one.ranked, "name": name, "plot": _plot(one)}
        for name, one in judged.items()
    ]
    page = environment().get_template("transfer.html")
    return page.render(device=device, space=space, parts=parts)


def _plot(judged: Any) -> Markup:
    """Held-out rows beside their predictions, with the interval of the report."""
    report = judged.report
    low, high = np.exp(report.interval_log)
    svg = calibration_svg(
        report.measured,
        report.predicted,
        (report.predicted * low, report.predicted * high),
        quantity=report.quantity,
        source=judged.source,
        title="Every subnet predicted from the rows of the others",
    )
    return Markup(svg)  # rendered with every text escaped
