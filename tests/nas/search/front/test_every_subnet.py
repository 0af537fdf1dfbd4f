"""Every subnet of a space of few, whether or not another point beats it."""

from nas import api
from nas.pareto import Point

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
    assert [p["latency_ms"] for p in points] == sorted((p["latency_ms"] for p in points))[::-1]


def test_those_that_meet_the_bounds_stand_at_the_fastest_level_of_the_bounds() -> None:
    errors = [p["top1_error_pct"] for p in every()]
    points = every(max_error_pct=(errors[1] + errors[2]) / 2, levels=(3, 5))
    assert [(p["subnet"], p["level"]) for p in points] == [("g4", 5), ("g3", 5)]


def test_a_space_of_many_lists_none() -> None:
    content = api.search("xavier-nx", trials=20, n_points=5).content
    assert "every_subnet" not in content
