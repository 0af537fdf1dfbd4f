"""The advice of a transfer follows from its figures, one sentence for each case."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from nas.cli.quality import quality
from nas.pareto.records import Fallback, PredictorEntry
from nas.report import calibration_svg, transfer_report_html
from nas.report.calibration import ticks
from nas.transfer.judgement import Judgement
from nas.transfer.outlook import Outlook
from predictors import TransferReport

MEASURED = np.linspace(1, 4, 24)


def judged(
    srcc: float = 0.95,
    low: float = 0.9,
    decision: str = "go",
    widths: tuple[float, ...] = (20, 15, 10),
    ranks: tuple[float, ...] = (0.9,),
    pool: tuple[float, int] = (0.9, 24),
) -> Judgement:
    report = TransferReport(
        quantity="latency_ms",
        proxy="proxies",
        n_proxy_rows=100,
        n_target_rows=24,
        srcc=srcc,
        srcc_interval=(low, 0.99),
        mape_pct=7.0,
        decision=decision,
        interval_log=(-0.1, 0.1),
        measured=MEASURED,
        predicted=MEASURED * 1.05,
    )
    proxies = {f"<p{i}>": rank for i, rank in enumerate(ranks)}
    return Judgement(
        report=report,
        source="simulated",
        proxy_srcc=proxies,
        proxy_weight=dict.fromkeys(proxies, 0.5),
        outlook=Outlook(*pool, dict(zip((0, 8, 24), widths, strict=True))),
    )


def test_a_go_from_rows_that_do_not_cover_the_clocks_says_what_to_measure() -> None:
    fallback: Fallback = {"model": "the model", "srcc": 0.9, "mape_pct": 3.0}
    one = replace(judged(), fallback=fallback)
    assert one.advice.startswith("measure programs at the slowest and the fastest clock")
    assert "[green]go[/]; but its rows do not cover the clocks: the model, predicts" in quality(
        cast(PredictorEntry, one.to_dict())
    )


@pytest.mark.parametrize(
    ("one", "advice"),
    [
        (judged(), r"use it; 24 rows more would narrow intervals from ±20 % to ±10 %$"),
        (
            judged(0.9, 0.7, "no-go", ranks=(0.4, 0.3), pool=(0.41, 10)),
            r"no proxy behaves like this device \(ranks of 0.41 where 0.8 is asked for\); "
            r"predicted from its own rows within ±20 %; 24 rows more would give ±10 %$",
        ),
        (
            judged(0.5, 0.2, "no-go", pool=(0.41, 10)),
            r"the proxy does not behave like this device \(.*\); the proxy's map predicts; with "
            r"its own rows within ±20 %; 24 rows more would give ±10 %$",
        ),
        (judged(pool=(0.41, 10)), "use it; 24 rows more"),
        (judged(ranks=(0.9, 0.9), pool=(0.41, 9)), "use it; 24 rows more"),
        (judged(widths=(20, 19, 18)), "use it; more rows would change little"),
        (judged(0.9, 0.7, "no-go"), "measure 24 programs more: ranks agree, .* low as 0.70"),
        (judged(0.9, 0.85, "no-go"), "see latency: energy is latency times power"),
        (judged(float("nan"), float("nan"), "no-go"), "measure more subnets at one clock"),
        (judged(0.5, 0.2, "no-go", ranks=(0.4, 0.95)), "judge <p1> alone, which ranks"),
        (judged(0.5, 0.2, "no-go", ranks=(0.4, 0.6)), "try another proxy, nearer"),
        (judged(0.5, 0.2, "no-go", ranks=(0.95,)), "try another proxy, nearer"),
    ],
)
def test_the_advice_fits_the_figures(one: Judgement, advice: str) -> None:
    assert re.match(advice, one.to_dict()["advice"]), one.advice


def test_a_search_says_whether_proxies_fit_and_what_more_rows_give() -> None:
    widths = {0: 20.0, 8: 15.0, 24: 9.0}
    note = "latency of nx is predicted within ±20 %; 24 rows more would give ±9 %"
    unlike = "no proxy behaves like nx (ranks of 0.41 where 0.8 is asked for)"
    assert Outlook(0.9, 24, widths).lines("nx", go=True) == [f"note: {note}"]
    assert Outlook(0.41, 9, widths).lines("nx", go=True) == [f"note: {note}"]
    assert Outlook(0.41, 10, widths).lines("nx", go=True) == [
        f"warning: {unlike}: its own rows count most",
        f"note: {note}",
    ]
    assert Outlook(0.41, 10, widths).lines("nx", go=False) == [
        f"warning: {unlike}",
        "note: with a go, " + note.replace("is predicted", "would be predicted"),
    ]


def test_few_rows_do_not_tell_whether_the_pool_fits() -> None:
    assert judged(pool=(0.9, 10)).to_dict()["pool_fits"] is True
    assert judged(pool=(0.4, 10)).to_dict()["pool_fits"] is False
    few = judged(pool=(float("nan"), 9)).to_dict()
    assert few["pool_fits"] is None
    assert few["pool_srcc"] is None


def test_proxies_without_ranks_come_last() -> None:
    one = judged(ranks=(float("nan"), 0.3, 0.8))
    assert one.ranked == ["<p2>", "<p1>", "<p0>"]
    assert one.to_dict()["proxies"]["<p0>"] is None


def test_the_page_says_all_and_escapes_names() -> None:
    one = judged(0.5, 0.2, "no-go", ranks=(0.4, 0.95))
    page = transfer_report_html({"latency_ms": one}, device="nx", space="resnet-digits")
    for said in (
        "no-go",
        "judge &lt;p1&gt; alone",
        "simulated",
        "± 20 %",
        "<td>24</td>",
        "7.00 %",
        "<svg",
    ):
        assert said in page, said
    assert "<p1>" not in page
    assert page.count("<circle") == len(MEASURED)
    assert set(re.findall(r"https?://[^\"]+", page)) == {"http://www.w3.org/2000/svg"}


def test_the_plot_marks_what_its_interval_misses_and_draws_what_is_unknown() -> None:
    low, high = np.full(24, 1.0), np.full(24, 3.0)
    low[-1], high[-1] = 0, np.inf
    said = {"quantity": "latency_ms", "source": "measured", "title": "a < b"}
    svg = calibration_svg(MEASURED, MEASURED, (low, high), **said)
    outside = int(((high < MEASURED) | (low > MEASURED)).sum())
    assert svg.count('class="point outside"') == outside > 0
    assert svg.count('class="interval') == 23
    assert "a &lt; b" in svg
    assert "nan" not in svg
    assert "inf" not in svg.replace("info", "")


@pytest.mark.parametrize(("low", "high"), [(1, 1.01), (0.3, 7), (1e-4, 1e4), (3.3, 4.1)])
def test_ticks_lie_on_the_axis(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 10
    assert all(low <= t <= high * 1.01 for t in found)
