"""What commands print at 60, 80 and 120 columns: nothing is cut, what is to be typed is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas.cli.answer import Comparison, sentence
from nas.cli.cautions import cautions
from nas.cli.tables import print_result
from nas.pareto import ParetoContent, ParetoTable
from search_spaces import get_space, space_names
from tests.nas.conftest import nas
from tests.nas.pareto.results import small_result

WIDTHS = (60, 80, 120)
ENTRY = "supernet info ofa-mobilenetv3"  # of a table without weights
LISTS = ("devices", "spaces", "spaces resnet-cifar", "supernet info", "supernet list", ENTRY)
PARETO, REPORT = Path("runs/xavier-nx/pareto.json"), Path("runs/xavier-nx/report.html")


def searched(n_levels: int = 15) -> ParetoContent:
    """A result with energy, a fast and a slow point on every level, and wide figures."""
    content = small_result()
    point, largest = content["points"][0], content["baselines"][-1]
    clocks = [100 + 51.25 * k for k in range(n_levels)]
    content["levels"] = [
        {"level": k, "gpu_mhz": mhz, "cpu_mhz": 1420.8, "emc_mhz": 1866.0, "power_mode": None}
        for k, mhz in enumerate(clocks)
    ]
    content["points"], content["baselines"] = [], []
    for k, mhz in enumerate(clocks):
        slow = clocks[-1] / mhz
        for i, error in enumerate((7.2, 12.45)):
            name, ms = f"L{k:02d}-{i}fe323c8", slow / (1 + i) / 3
            content["points"].append(
                {
                    **point, "id": name, "level": k, "top1_error_pct": error, "latency_ms": ms,
                    "energy_mj": 2 + ms, "energy_source": "predicted (simulated)",
                }
            )  # fmt: skip
        content["baselines"].append(
            {**largest, "level": k, "top1_error_pct": 7.2, "latency_ms": slow, "energy_mj": 3.2}
        )
    content["device"]["latency_source"] = "predicted (simulated)"
    content["device"]["energy_source"] = "predicted (simulated)"
    content["supernet"] = {"name": "resnet-cifar10", "sha256": "0", "dataset": "cifar10"}
    return content


def printed(
    content: ParetoContent, width: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> str:
    monkeypatch.setenv("COLUMNS", str(width))
    print_result(ParetoTable(content), PARETO, REPORT)
    return str(capsys.readouterr().out)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_result_is_whole(width: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    text = printed(searched(), width, monkeypatch, capsys)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    one_line = " ".join(text.replace("\\\n", " ").split())
    assert f"open: {REPORT} " in one_line
    assert f"nas measure --of {PARETO} --remote USER@HOST --out rows.csv" in one_line
    export = f"nas export --pareto {PARETO} --id L14-0fe323c8 --out board"
    assert export in one_line
    for whole in (str(REPORT), f"--of {PARETO}", "--id L14-0fe323c8", "L14-0fe323c8:"):
        assert whole in text
    assert one_line.count("SIMULATED") == 1


def test_what_is_unknown_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    content = small_result()
    device = content["device"]
    text = printed(content, 200, monkeypatch, capsys)
    assert device["power_mode"] is content["baselines"][-1]["energy_mj"] is None
    assert f"{device['name']} {device['backend']} {device['precision']} batch 1\n" in text
    assert "- mJ" not in text
    assert "at the top clock: 10.00 % error, 1.00 ms\n" in text


def test_the_answer_says_what_it_saves_beside_what_it_loses(
    monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    text = printed(searched(), 1000, monkeypatch, capsys)
    assert (
        "is L14-0fe323c8: level 14 (GPU 817.5, CPU 1420.8, memory 1866 MHz), 7.20 % error, "
        "0.333 ms (1.50 ms where no exit is taken), 2.33 mJ; against the largest subnet it "
        "saves 27 % of the energy and 67 % of the latency, at the same accuracy." in text
    )


def test_what_rounds_to_nothing_is_neither_saved_nor_lost() -> None:
    content = searched()
    base = content["baselines"][-1]
    point = {**content["points"][-2], "top1_error_pct": 7.2, "latency_ms": 0.998, "energy_mj": 3.21}
    content["points"] = [point]  # type: ignore[list-item]
    table = ParetoTable(content)
    assert (base["latency_ms"], base["energy_mj"]) == (1, 3.2)
    said = sentence(Comparison.of(table), table.points[0])
    assert said.endswith("against the largest subnet it costs the same, at the same accuracy.")


def test_doubts_are_said_with_cause_and_next_command() -> None:
    content = searched()
    failed = {"decision": "no-go", "srcc": -0.548}
    content["predictors"] = {"latency_ms": failed, "energy_mj": failed | {"srcc": None}}
    content["supernet"]["name"] = "runs/my net"
    content["points"] = [p for p in content["points"] if p["level"] != 3]
    content["search"] = {"bounds": {"max_latency_ms": 0.2}}
    table = ParetoTable(content)
    point = content["points"][0]
    point["latency_interval_ms"] = [0.5, 9.0]
    point["verified"] = {
        "top1_error_pct": 10, "exit_rates": [1], "n_images": 100, "split": "test",
    }  # fmt: skip
    no_go, infeasible, wide, few = cautions(table, point)
    assert "ranks latency_ms with only -0.548 and cannot rank energy_mj; no model" in no_go.text
    assert no_go.command[:2] == ("nas search", "--device nano")
    assert no_go.command[-2:] == ("--supernet 'runs/my net'", "--plan plan.csv")
    assert infeasible.text.startswith("level 3: no configuration was found within --max-latency-ms")
    assert "0.500 to 9.00 ms" in wide.text
    assert "5.5 to 17.4 % (95 % binomial interval)" in few.text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("words", LISTS)
def test_lists_are_whole(width: int, words: str) -> None:
    done = nas(*words.split(), width=width)
    assert done.code == 0, done.err
    assert "…" not in done.out
    if words == "spaces":
        examples = [get_space(name).example for name in space_names()]
        assert all(text in done.out for text in [*space_names(), *examples])
