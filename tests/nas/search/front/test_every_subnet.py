"""Every subnet of a space of few, whether or not another point beats it."""

from pathlib import Path

import pytest

from nas import api
from nas.pareto import Point
from nas.runtime import read_manifest
from search_spaces import InputError
from tests.nas.cli.test_app import refused
from tests.nas.conftest import nas

GROUPS = "alexnet-g4-cifar10"


def every(**given: object) -> list[Point]:
    table = api.search("xavier-nx", supernet=GROUPS, trials=4, n_points=5, **given)
    return table.content["every_subnet"]


def test_each_subnet_stands_once_at_the_fastest_level() -> None:
    points = every()
    assert [p["subnet"] for p in points] == ["g4", "g3", "g2", "g1"]
    assert {p["level"] for p in points} == {14}
    assert not any(p["exits"]["after"] for p in points)
    errors = [p["top1_error_pct"] for p in points]
    assert errors == sorted(errors)
    assert [p["latency_ms"] for p in points] == sorted(p["latency_ms"] for p in points)[::-1]


def test_those_that_meet_the_bounds_stand_at_the_fastest_level_of_the_bounds() -> None:
    errors = [p["top1_error_pct"] for p in every()]
    points = every(max_error_pct=(errors[1] + errors[2]) / 2, levels=(3, 5))
    assert [(p["subnet"], p["level"]) for p in points] == [("g4", 5), ("g3", 5)]


def test_a_space_of_many_lists_none(tmp_path: Path) -> None:
    table = api.search("xavier-nx", trials=20, n_points=5)
    assert "every_subnet" not in table.content
    with pytest.raises(InputError, match="the table does not list every subnet: searches of few"):
        api.export(table, tmp_path / "board", every_subnet=True)


def test_each_is_exported_once(tmp_path: Path) -> None:
    options = "--supernet", GROUPS, "--trials", "4", "--out", tmp_path / "run"
    assert nas("search", "--device", "xavier-nx", *options).code == 0
    table = tmp_path / "run" / "pareto.json"
    done = nas("export", "--pareto", table, "--every-subnet", "--out", tmp_path / "board")
    assert done.code == 0, done.err
    content = read_manifest(tmp_path / "board").content
    assert [network["subnet"] for network in content["networks"].values()] == [
        "g4",
        "g3",
        "g2",
        "g1",
    ]
    assert "shared" in content  # the weights stand once
    both = nas("export", "--pareto", table, "--every-subnet", "--one-latency", "--out", "x")
    refused(both, "--one-latency and --every-subnet were asked; leave one out")
