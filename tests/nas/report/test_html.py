"""The report: one file, no network, nothing from the data can become code."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from nas.cli.answer import answer
from nas.pareto import ParetoTable
from nas.report import write_report
from nas.report.html import _proposed, labels, short, signed
from search_spaces import ResNetSpace, get_space
from tests.nas.conftest import nas

HOSTILE = "</script><b>bold</b><!--"


def synthetic_pareto(n_levels: int = 4, n_points: int = 12) -> dict[str, Any]:
    """A pareto.json as the contract describes it, shaped like a GPU whose clock is scaled."""
    space = get_space("resnet-cifar")
    rng = np.random.default_rng(0)
    levels = [
        {"level": i, "gpu_mhz": mhz, "cpu_mhz": 1420.8, "emc_mhz": 1866.0, "power_mode": "20W"}
        for i, mhz in enumerate(np.linspace(114.75, 1109.25, n_levels).tolist())
    ]
    subnets = space.sample_spread(n_points, rng)
    points = [
        _point(space, f"p{level['level']}-{i}", level, genes, with_exits=i % 3 > 0)
        for level in levels
        for i, genes in enumerate(subnets[2:])
    ]
    points[1]["verified"] = {
        "top1_error_pct": points[1]["top1_error_pct"] + 0.4,
        "exit_rates": points[1]["exit_rates"],
        "n_images": 10_000,
        "split": "test",
    }
    ends = {"largest": space.largest[0], "smallest": space.smallest[0]}
    return {
        "schema": "nas.pareto/1",
        "created": "2025-01-01T00:00:00Z",
        "command": "nas search --device xavier-nx --seed 0",
        "seed": 0,
        "versions": {"nas": "0.1.0", "torch": "2.11.0"},
        "device": {
            "name": "xavier-nx",
            "processor": "gpu",
            "backend": "tensorrt",
            "precision": "fp16",
            "batch": 1,
            "power_mode": "20W",
            "latency_source": "predicted (simulated)",
            "energy_source": "predicted (simulated)",
        },
        "space": space.name,
        "supernet": {"name": "resnet-cifar10", "sha256": "0" * 64, "dataset": "cifar10"},
        "objectives": [
            {"name": "top1_error_pct", "unit": "%"},
            {"name": "latency_ms", "unit": "ms"},
            {"name": "energy_mj", "unit": "mJ"},
        ],
        "predictors": {
            "latency_ms": _predictor(0.94, [0.88, 0.97], "go"),
            "energy_mj": _predictor(0.71, [0.52, 0.83], "no-go"),
        },
        "reference": {"point": [100.0, 50.0, 200.0], "hypervolume": [1.0] * n_levels},
        "levels": levels,
        "points": points,
        "baselines": [
            {
                "name": name,
                **_point(space, f"{name}-{level['level']}", level, genes, with_exits=False),
            }
            for level in levels
            for name, genes in ends.items()
        ],
        "front": [points[-1]["id"]],
        "search": {
            "n_subnets": 300,
            "n_configurations": 1_200_000,
            "bounds": {"max_latency_ms": 25.0},
            "warm_start": {"file": "old/pareto.json", "n_subnets": 31},
            "progress": [
                {"n_subnets": 100 * i, "n_points": 40 * i, "hypervolume": 0.3 - 0.1 / i}
                for i in (1, 2, 3)
            ],
            "importance": {
                name: {f"width{i}": 0.5**i for i in range(1, 11)}
                for name in ("top1_error_pct", "latency_ms")
            },
        },
    }


def _predictor(srcc: float, interval: list[float], decision: str) -> dict[str, Any]:
    return {
        "proxy": "host",
        "n_proxy_rows": 320,
        "n_target_rows": 24,
        "srcc": srcc,
        "srcc_interval": interval,
        "mape_pct": 6.3,
        "decision": decision,
    }


def _point(
    space: ResNetSpace, name: str, level: dict[str, Any], genes: np.ndarray, *, with_exits: bool
) -> dict[str, Any]:
    """Latency falls with the clock, energy has its minimum in between, accuracy rises with MACs."""
    mmacs = float(space.operators(genes[None], np.array([[0, 0, 0, 1]], bool)).macs.sum()) / 1e6
    worst_ms = 600 * (0.4 + mmacs / 40) / level["gpu_mhz"]
    mean_ms = worst_ms * (0.7 if with_exits else 1.0)
    power_w = 2.5 + 9 * (level["gpu_mhz"] / 1109) ** 3
    return {
        "id": name,
        "level": level["level"],
        "subnet": str(space.subnet(genes)),
        "exits": {"after": [1], "thresholds": [0.9]}
        if with_exits
        else {"after": [], "thresholds": []},
        "top1_error_pct": 6 + 30 / (1 + mmacs) + 0.6 * with_exits,
        "error_source": "measured" if with_exits else "predicted",
        "latency_ms": mean_ms,
        "latency_worst_ms": worst_ms,
        "latency_interval_ms": [0.9 * mean_ms, 1.1 * mean_ms],
        "latency_source": "predicted (simulated)",
        "energy_mj": mean_ms * power_w,
        "energy_source": "predicted (simulated)",
        "exit_rates": [0.0, 0.55, 0.0, 0.45] if with_exits else [0.0, 0.0, 0.0, 1.0],
        "macs": round(1e6 * mmacs),
        "params": 1_000_000,
        "verified": None,
    }


def synthetic_rows(pareto: dict[str, Any]) -> list[dict[str, Any]]:
    """Target rows with predictions that are a little off."""
    clock = {level["level"]: level["gpu_mhz"] for level in pareto["levels"]}
    rng = np.random.default_rng(1)
    return [
        {
            "subnet": p["subnet"],
            "heads": "3",
            "gpu_mhz": clock[p["level"]],
            "latency_ms": p["latency_ms"],
            "energy_mj": p["energy_mj"],
            "source": "simulated",
            "predicted_latency_ms": p["latency_ms"] * float(np.exp(rng.normal(0, 0.07))),
            "predicted_energy_mj": p["energy_mj"] * float(np.exp(rng.normal(0, 0.1))),
        }
        for p in pareto["points"][::2]
    ]


class Page(HTMLParser):
    """The tags, attributes, visible text and scripts of a report."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text, self.script, self.data, self._inside = "", "", "", ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = "data" if ("type", "application/json") in attrs else tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data += data
        elif self._inside == "script":
            self.script += data
        elif self._inside != "style":
            self.text += data


def written(tmp_path: Path, *results: dict[str, Any]) -> str:
    out = tmp_path / "report.html"
    paths = [Path("runs") / str(i) / "pareto.json" for i in range(len(results))]
    write_report([ParetoTable(cast(Any, content)) for content in results], paths, out)
    return out.read_text(encoding="utf-8")


def embedded(page: Page) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(page.data))


def test_the_report_is_self_contained(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    html = written(tmp_path, pareto | {"target_rows": synthetic_rows(pareto)})
    page = Page(html)
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not {"src", "href", "srcset", "action"} & {name for name, _ in page.attributes}
    without_namespace = html.replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z]|@import|url\(|\bimport\b|fetch\(", without_namespace)
    assert "default-src 'none'" in html


def test_every_level_point_and_provenance_is_there(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    for point in pareto["points"][:10]:
        point["error_source"] = "predicted"  # the level's, whichever are shown
    page = Page(written(tmp_path, pareto))
    for level in pareto["levels"]:
        assert f"Show level {level['level']}" in [value for _, value in page.attributes]
        assert f"GPU {level['gpu_mhz']:g}" in page.text
    for point in [*pareto["points"], *pareto["baselines"]]:
        assert json.dumps(point["id"]) in page.data
    for source in ("measured", "predicted", "predicted (simulated)"):
        assert source in page.text
    badges = {value for name, value in page.attributes if name == "class" and value}
    assert "src predicted" in badges  # some accuracies; the rest is as the banner says
    assert not {"src measured", "src simulated"} & badges


def test_simulated_figures_and_a_no_go_are_announced(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    text = " ".join(Page(written(tmp_path, pareto)).text.split())
    assert "Latency and energy: predicted (simulated), not measured on a board" in text
    assert "Accuracy: measured; 16 of 40 predicted, marked." in text
    assert "No-go for energy. The proxy host does not rank" in text


def test_costs_of_several_images_at_once_say_so(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    said = "costs are those of 8 images at once, with early exits as if all of them left"
    assert said not in Page(written(tmp_path, pareto)).text
    pareto["device"]["batch"] = 8
    assert said in " ".join(Page(written(tmp_path, pareto)).text.split())


def test_measured_figures_need_no_warning(tmp_path: Path) -> None:
    pareto = json.loads(json.dumps(synthetic_pareto()).replace("predicted (simulated)", "measured"))
    pareto["predictors"] = None
    text = Page(written(tmp_path, pareto)).text
    assert "simulated" not in text
    assert "No-go" not in text


def test_text_from_the_data_never_becomes_markup(tmp_path: Path) -> None:
    plain = synthetic_pareto()
    hostile = copy.deepcopy(plain)
    hostile["command"] = hostile["device"]["name"] = hostile["points"][0]["subnet"] = HOSTILE
    for point in hostile["points"]:
        point["id"] = HOSTILE + point["id"]
    html = written(tmp_path, hostile)
    assert "</script><b>" not in html
    assert Page(html).tags == Page(written(tmp_path, plain)).tags


def test_the_embedded_data_is_pareto_json(tmp_path: Path) -> None:
    one, other = synthetic_pareto(), synthetic_pareto(n_levels=2)
    one["command"] = HOSTILE
    data = embedded(Page(written(tmp_path, one, other)))
    assert [result["pareto"] for result in data["results"]] == [one, other]
    assert [result["file"] for result in data["results"]] == [
        "runs/0/pareto.json",
        "runs/1/pareto.json",
    ]


def test_what_is_asked_first_is_what_the_search_proposes(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    page = Page(written(tmp_path, pareto))
    limit = 100 - embedded(page)["asked"]["accuracy"]
    table = ParetoTable(cast(Any, pareto))
    assert table.cheapest(max_error_pct=limit + 1e-9) == answer(table)
    assert f"{answer(table)['id']} is the cheapest point within" in page.text  # without scripts


def test_of_several_results_a_known_energy_is_proposed_before_an_unknown_one() -> None:
    """As `cheaper` in limits.js has it."""
    known, unknown = synthetic_pareto(), synthetic_pareto()
    for point in unknown["points"]:
        point["energy_mj"] = None
    tables = [ParetoTable(cast(Any, content)) for content in (unknown, known)]
    found = _proposed(tables, ["unknown", "known"], 99.0)
    assert found is not None
    assert found[0] == "known"


def test_two_results_of_one_device_have_names_of_their_own() -> None:
    one, other = (ParetoTable(cast(Any, synthetic_pareto())) for _ in range(2))
    assert labels([one]) == ["xavier-nx"]
    assert labels([one, other]) == ["xavier-nx 20W resnet-cifar 1", "xavier-nx 20W resnet-cifar 2"]


def test_several_results_make_one_page_where_it_is_said(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path in paths:
        path.write_text(json.dumps(synthetic_pareto()), encoding="utf-8")
    asked = "report", "--pareto", paths[0], "--pareto", paths[1], "--quiet"
    refused = nas(*asked)
    assert refused.code == 1
    assert "several --pareto need --out" in refused.err
    assert "--out is" in nas(*asked, "--out", paths[1]).err  # a file that is read
    empty = tmp_path / "empty.json"
    empty.write_text(json.dumps(synthetic_pareto() | {"points": [], "front": []}))
    assert "empty.json has no points" in nas("report", "--pareto", empty).err
    done = nas(*asked, "--out", tmp_path / "both.html")
    assert done.code == 0, done.err
    page = Page((tmp_path / "both.html").read_text(encoding="utf-8"))
    assert [r["file"] for r in embedded(page)["results"]] == [str(path) for path in paths]


def test_absent_figures_are_dashes(tmp_path: Path) -> None:
    """A CPU target with an accuracy table alone, no energy, no interval, nothing verified."""
    pareto = synthetic_pareto(n_levels=1)
    pareto |= {
        "supernet": None,
        "predictors": {"latency_ms": None},
        "baselines": [],
        "versions": None,
    }
    pareto["levels"][0] |= {"gpu_mhz": None, "emc_mhz": None}
    pareto["device"] |= {"power_mode": None, "energy_source": None}
    pareto["objectives"].pop()
    for point in pareto["points"]:
        point |= {"energy_mj": None, "energy_source": None, "latency_interval_ms": None}
        point |= {"verified": None, "exit_rates": None}
    text = " ".join(Page(written(tmp_path, pareto)).text.split())
    assert "None" not in text
    assert "accuracy table only" in text
    assert "GPU" not in text
    assert "verified against predicted" not in text


def test_the_search_is_told(tmp_path: Path) -> None:
    page = Page(written(tmp_path, synthetic_pareto()))
    text = " ".join(page.text.split())
    assert "300 subnets, 1,200,000 configurations" in text
    assert "It started from 31 subnets of old/pareto.json. Bounds: max_latency_ms 25." in text
    assert "width1 50 %" in text
    assert text.count("width8") == 2
    assert "width9" not in text
    charts = {value for name, value in page.attributes if name == "data-chart"}
    assert {"progress", "rates", "over", "verified"} <= charts


def test_files_that_say_nothing_of_the_search_are_shown_without_it(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    del pareto["search"]
    page = Page(written(tmp_path, pareto))
    assert "Hypervolume over" not in page.text
    assert ("data-chart", "progress") not in page.attributes


def test_points_without_exits_have_no_chart_and_no_columns_of_them(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    columns = {("data-is", "worst"), ("data-is", "images leave at")}
    assert columns <= set(Page(written(tmp_path, pareto)).attributes)
    for point in pareto["points"]:
        point |= {"exit_rates": [1.0], "exits": {"after": [], "thresholds": []}}
    page = Page(written(tmp_path, pareto))
    assert "Where images leave" not in page.text
    assert "With exits" not in page.text
    assert not columns & set(page.attributes)


def test_levels_that_were_not_searched_are_not_shown(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    pareto["search"]["bounds"]["levels"] = [1, 2]
    pareto["points"] = [p for p in pareto["points"] if p["level"] in (1, 2)]
    page = Page(written(tmp_path, pareto))
    labels = [value for _, value in page.attributes]
    assert "Show level 1" in labels
    assert "Show level 0" not in labels


def test_verified_exit_rates_stand_beside_those_searched_with(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    pareto["points"][1]["verified"]["exit_rates"] = [0.0, 0.51, 0.0, 0.49]
    text = Page(written(tmp_path, pareto)).text
    assert "exit 1 55 · end 45 %" in text
    assert "exit 1 51 · end 49 %" in text


def test_a_level_without_points_has_a_row(tmp_path: Path) -> None:
    pareto = synthetic_pareto()
    pareto["points"] = [p for p in pareto["points"] if p["level"] != 2]
    page = Page(written(tmp_path, pareto))
    assert "no points" in page.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234.5, "1,234"),
        (12.345, "12.3"),
        (0.01234, "0.0123"),
        (0, "0"),
        (None, "–"),
        (np.nan, "–"),
    ],
)
def test_short_numbers_have_no_exponent(value: float | None, text: str) -> None:
    assert short(value) == text


def test_a_failed_write_leaves_the_old_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.html"
    out.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        written(tmp_path, synthetic_pareto())
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [(-0.3, 0, "0"), (0.0, 2, "0.00"), (-0.004, 2, "0.00"), (-10.0, 0, "−10"), (0.5, 1, "+0.5")],
)
def test_what_rounds_to_zero_has_no_sign(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text
