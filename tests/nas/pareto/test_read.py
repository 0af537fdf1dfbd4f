"""What is no result is refused when it is read, in one line that names path, value and need."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.pareto import ParetoTable, read_pareto
from search_spaces import InputError
from tests.nas.pareto.results import small_result

NAN, INF = float("nan"), float("inf")
Content = dict[str, Any]


def written(folder: Path, content: object) -> Path:
    (folder / "pareto.json").write_text(json.dumps(content))
    return folder / "pareto.json"


def said(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_pareto(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("{", "no readable pareto.json"),
        (json.dumps({"schema": "nas.pareto/9"}), "schema 'nas.pareto/9', this version reads"),
        ("[]", "schema None"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "pareto.json"
    if text is not None:
        path.write_text(text)
    assert message in said(path)


def test_the_level_of_every_subnet_is_one_of_the_files(tmp_path: Path) -> None:
    content: Content = {**small_result()}
    content["every_subnet"] = [content["points"][0] | {"level": 7}]
    assert "every_subnet[0].level is 7; expected one" in said(written(tmp_path, content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("latency_ms", NAN, "is nan; expected a finite number"),
        ("latency_ms", INF, "is inf; expected a finite number"),
        ("latency_ms", 0, "is 0; expected a number above 0"),
        ("latency_ms", "1.0", "is '1.0'; expected a number"),
        ("latency_ms", True, "is True; expected a number"),
        ("energy_mj", -2.5, "is -2.5; expected a number above 0"),
        ("top1_error_pct", 101, "is 101; expected at most 100"),
        ("level", 1.5, "is 1.5; expected a whole number"),
        ("level", 7, "is 7; expected one of the file's levels"),
        ("id", "L00-x", "is 'L00-x' for a second time"),
        ("exit_rates", [20, 0, 0, 0], "[0] is 20; expected at most 1"),
        ("exit_rates", [0.5, 0, 0, 0], "is [0.5, 0, 0, 0]; they add up to 0.5, expected 1"),
        ("exit_rates", [], "is []; "),
        ("subnet", "d1", "is 'd1'; 'd1' is no subnet of resnet-digits"),
        ("exits", {"after": [2, 0], "thresholds": [0.5, 0.5]}, "exits must rise along the depth"),
        ("exits", {"after": [0], "thresholds": []}, "a policy needs one threshold per exit"),
        ("exits", {"after": [3], "thresholds": [0.5]}, ".after is [3]; the 4 exit_rates know"),
        ("exits", {"after": [0], "thresholds": [2.0]}, ".thresholds[0] is 2.0; expected at most 1"),
        ("latency_interval_ms", [1.0], "is [1.0]; "),
        ("verified", {"top1_error_pct": 5.0}, ".exit_rates is missing"),
        ("verified_cost", {}, ".latency_ms is missing (and 3 more faults)"),
    ],
)
def test_a_fault_of_a_point_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    content: Content = {**small_result()}
    content["points"][1][key] = value
    line = said(written(tmp_path, content))
    assert f"points[1].{key}" in line
    assert message in line


@pytest.mark.parametrize("key", ["latency_ms", "exits", "energy_source", "exit_rates", "id"])
def test_a_missing_field_of_a_point_is_named(tmp_path: Path, key: str) -> None:
    content: Content = {**small_result()}
    del content["points"][0][key]
    assert f"points[0].{key} is missing" in said(written(tmp_path, content))


@pytest.mark.parametrize(
    "key", ["device", "space", "supernet", "objectives", "levels", "points", "baselines", "front"]
)
def test_a_missing_field_of_the_file_is_named(tmp_path: Path, key: str) -> None:
    content: Content = {**small_result()}
    del content[key]
    assert f"{key} is missing" in said(written(tmp_path, content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["levels"].pop(0), "levels are numbered [1]; expected 0, 1, 2, ..."),
        (lambda c: c["levels"].clear(), "levels is []"),
        (lambda c: c["front"].append("L09"), "front[1] is 'L09'; expected the id of a point"),
        (lambda c: c["objectives"][1].update(name="size"), "objectives[1].name is 'size'"),
        (lambda c: c["baselines"][2].update(name="medium"), "baselines[2].name is 'medium'"),
        (lambda c: c["device"].update(batch=0), "device.batch is 0; expected at least 1"),
        (
            lambda c: c["points"][1].update(
                verified_cost={
                    "latency_ms": 1.0,
                    "latency_worst_ms": 1.0,
                    "energy_mj": None,
                    "source": "measured",
                }
            ),
            "verified_cost is missing, but points[1] has one",
        ),
    ],
)
def test_a_fault_of_the_file_is_named(
    tmp_path: Path, change: Callable[[Content], object], message: str
) -> None:
    content: Content = {**small_result()}
    change(content)
    assert message in said(written(tmp_path, content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("levels", [], "levels is []; "),
        ("levels", [0, 99], "levels[1] is 99; expected one of the file's levels"),
        ("by_number_of_ratios", [], "by_number_of_ratios is []; "),
        ("ratios", [], "by_number_of_ratios[0].ratios is []; "),
        ("latency_ms", [1.0], "by_number_of_ratios[0].latency_ms is [1.0]; "),
        ("top1_error_pct", [5.0] * 3, "by_number_of_ratios[0].top1_error_pct is [5.0, 5.0, 5.0]; "),
        ("points", 7, "points[0].level is 7; expected one of the file's levels"),
    ],
)
def test_a_fault_of_what_holds_the_latency_is_named(
    tmp_path: Path, key: str, value: Any, message: str
) -> None:
    content: Content = {**small_result()}
    row = {
        "n_ratios": 1,
        "ratios": [1.0],
        "cv": 0.1,
        "cv_spread_evenly": None,
        "variance_less": None,
        "latency_ms": [1.0, 2.0],
        "top1_error_pct": [5.0, 5.0],
    }
    held = {"levels": [0, 1], "target_ms": 1.0, "by_number_of_ratios": [row]}
    content["constant_latency"] = held | {"points": content["points"][:1]}
    assert read_pareto(written(tmp_path, content)).content == content
    if key == "points":
        value = [content["points"][0] | {"level": value}]
    (row if key in row else content["constant_latency"])[key] = value
    assert f"constant_latency.{message}" in said(written(tmp_path, content))


def test_an_edit_by_hand_is_said(tmp_path: Path) -> None:
    """A figure, not the command or the date; what is written by `nas` is not complained about."""
    path = tmp_path / "pareto.json"
    ParetoTable(small_result()).write_json(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_pareto(path).write_json(path)
        content = json.loads(path.read_text())
        read_pareto(written(tmp_path, content | {"command": "another"}))
    content["points"][0]["latency_ms"] *= 0.5
    with pytest.warns(UserWarning, match="was edited after `nas` wrote it"):
        read_pareto(written(tmp_path, content))


def test_a_value_that_is_long_is_shown_in_part(tmp_path: Path) -> None:
    content: Content = {**small_result()}
    content["points"] = "x" * 1000
    line = said(written(tmp_path, content))
    assert "points is 'xxx" in line
    assert len(line) < len(str(tmp_path)) + 120


def test_what_a_later_version_adds_is_kept(tmp_path: Path) -> None:
    content: Content = {**small_result(), "later": {"x": 1}}
    content["points"][0]["peak_mb"] = 3.5
    assert read_pareto(written(tmp_path, content)).content == content


def test_a_space_of_the_users_own_is_read(tmp_path: Path) -> None:
    content: Content = {**small_result(), "space": "my-space"}
    content["points"][0]["subnet"] = "any text"
    assert read_pareto(written(tmp_path, content)).content == content
