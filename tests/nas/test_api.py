"""What a researcher calls from Python: every example of the documentation runs."""

from __future__ import annotations

import copy
import doctest
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from optuna.samplers import RandomSampler
from torch import nn

import nas
import nas.api
from nas.pareto.read import read_pareto
from search_spaces import InputError
from tests.nas.pareto.results import small_result

ROOT = Path(__file__).parents[2]
LIGHT = "import sys, time; start = time.perf_counter(); import nas; {then}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example of the search ran, with all examples after it."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize(
    "function",
    [
        nas.api.search,
        nas.api.search_together,
        nas.api.measure,
        read_pareto,
        nas.ParetoTable.at,
        nas.ParetoTable.cheapest,
        nas.ParetoTable.to_pandas,
        nas.api.export,
        nas.api.devices,
        nas.get_device,
    ],
    ids=lambda function: function.__name__,
)
def test_the_example_of_its_documentation_runs(
    run: Path, monkeypatch: pytest.MonkeyPatch, function: object
) -> None:
    monkeypatch.chdir(run)
    runner = doctest.DocTestRunner()
    tests = doctest.DocTestFinder(recurse=False).find(function)
    assert sum(len(test.examples) for test in tests) > 1
    said: list[str] = []
    for test in tests:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(nas, name) is not None for name in nas.__all__)
    assert set(nas.__all__) <= set(dir(nas))
    with pytest.raises(AttributeError, match="no attribute 'seerch'; it has Measured, Pareto"):
        _ = nas.seerch


def test_every_name_of_the_reference_is_there_and_documented() -> None:
    text, room, found = (ROOT / "docs" / "api.md").read_text(), "", []
    for kind, asked in re.findall(r"(currentmodule|autofunction|autoclass|:members):+ (.+)", text):
        if kind == "currentmodule":
            room = f"{asked}."
        elif kind == ":members":
            assert all(hasattr(found[-1], name.strip()) for name in asked.split(","))
        else:
            module, _, name = (asked if "." in asked else room + asked).rpartition(".")
            found.append(getattr(import_module(module), name))
    assert len(found) > 35
    assert all(one.__doc__ for one in found)


@pytest.mark.parametrize("name", nas.CALLED)
def test_a_package_is_called_as_the_function_of_its_name(name: str) -> None:
    """Whatever was imported before: it is one module, which keeps its own names."""
    package, function = import_module(f"nas.{name}"), getattr(nas.api, name)
    assert getattr(nas, name) is package
    assert inspect.signature(package) == inspect.signature(function)
    assert callable(package)
    assert package.__all__


def test_a_package_that_is_called_gives_what_its_function_does() -> None:
    assert nas.devices() == nas.api.devices()
    assert "xavier-nx" in nas.devices()


def test_the_import_is_light() -> None:
    heavy = "('torch', 'numpy', 'optuna', 'pydantic', 'typer', 'pandas')"
    then = f"print(time.perf_counter() - start, [m for m in {heavy} if m in sys.modules])"
    command = [sys.executable, "-c", LIGHT.format(then=then)]
    done = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    seconds, loaded = zip(*(one.stdout.split(" ", 1) for one in done), strict=True)
    assert {text.strip() for text in loaded} == {"[]"}
    assert min(map(float, seconds)) < 0.1


def test_a_setting_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match="has no argument 'trails'"):
        nas.search("nano", trails=3)
    with pytest.raises(InputError, match=r"^`trials` must be at least 1, got 0$"):
        nas.search("nano", trials=0)
    with pytest.raises(TypeError, match="has no argument 'n_repeats'"):
        nas.measure("nano", space="resnet-digits", out="rows.csv", n_repeats=2)


TABLE = nas.ParetoTable(small_result())
DIGITS = partial(nas.measure, "host", space="resnet-digits", out="x")
WRONG = [  # what Python lets anybody type, and the words that name it
    (lambda: nas.search("nano", trials="10"), "`trials` must be a whole number, got '10'"),
    (lambda: nas.search("nano", trials=10.5), "`trials` must be a whole number, got 10.5"),
    (lambda: nas.search("nano", levels=[]), "`levels` must be a list of one or more, got []"),
    (lambda: nas.search("nano", precision=8), "precision 8"),
    (lambda: nas.get_device("nano", backend=8), "backend 8"),
    (lambda: nas.search("nano", levels="0,3"), "`levels` must be a list of whole numbers, got '0"),
    (lambda: nas.search("nano", levels=3), "`levels` must be a list of whole numbers, got 3"),
    (lambda: nas.search("nano", max_error_pct="9"), "`max_error_pct` must be a number, got '9'"),
    (
        lambda: nas.search("nano", sampler=3),
        "`sampler` must be a name or a sampler of Optuna's, got 3",
    ),
    (lambda: nas.search("nano", sampler=RandomSampler), "a sampler of Optuna's, got <class 'opt"),
    (
        lambda: nas.search("nano", supernet=3),
        "`supernet` must be a name, a file or a folder, got 3",
    ),
    (lambda: nas.search(["nano"], trials=9), "`nas.search_together` takes a list of them"),
    (lambda: nas.search_together("nano"), "`devices` must be a list of one or more, got 'nano'"),
    (lambda: nas.search_together([]), "`devices` must be a list of one or more, got []"),
    (lambda: DIGITS(samples="2"), "`samples` must be a whole number, got '2'"),
    (lambda: DIGITS(samples=0), "`samples` must be at least 1, got 0"),
    (lambda: DIGITS(repeats=0), "`repeats` must be at least 1, got 0"),
    (lambda: DIGITS(seconds="1"), "`seconds` must be a number, got '1'"),
    (lambda: DIGITS(seed=-1), "`seed` must be 0 or more, got -1"),
    (lambda: DIGITS(levels=3), "`levels` must be a list of whole numbers, got 3"),
    (lambda: DIGITS(levels=[]), "`levels` must be a list of one or more, got []"),
    (lambda: TABLE.cheapest(max_error_pct="9"), "`max_error_pct` must be a number, got '9'"),
    (lambda: TABLE.cheapest(levels=3), "`levels` must be a list of whole numbers, got 3"),
    (lambda: TABLE.cheapest(levels=[99]), "the table has levels 0 to 1, got `levels` 99"),
    (lambda: TABLE.at(-3), "the table has levels 0 to 1, got `level` -3"),
    (lambda: nas.get_device("nano", batch="2"), "`batch` must be a whole number, got '2'"),
    (
        lambda: nas.prune(3, "x"),
        "`net`, where it is no name or path, must be a torch network, got int",
    ),
    (lambda: nas.prune(nn.ReLU(), "x", mean=0.3, std=0.4), "`mean` must be a list of one number"),
]


@pytest.mark.parametrize(("call", "words"), WRONG, ids=[words[:30] for _, words in WRONG])
def test_values_of_another_type_are_refused_by_name(
    call: Callable[[], object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(words)):
        call()


def test_numbers_of_numpy_and_paths_go_in_where_pythons_do(tmp_path: Path) -> None:
    levels = np.array([0, 3])
    asked = nas.api.search_settings(
        [tmp_path / "nano.toml"], trials=np.int64(20), out=tmp_path, seed=np.uint8(1), levels=levels
    )
    assert json.loads(json.dumps(asked.fingerprint()))["bounds"]["levels"] == [0, 3]
    assert (asked.device, asked.n_trials) == (str(tmp_path / "nano.toml"), 20)
    with pytest.raises(TypeError, match="prune\\(\\) has no argument 'epoch'"):
        nas.prune("resnet-cifar10", tmp_path, epoch=1)


def test_a_supernet_that_is_elsewhere_is_asked_for(tmp_path: Path) -> None:
    content = copy.deepcopy(small_result())
    content["supernet"] = {"name": "runs/mine", "sha256": "0", "dataset": "digits"}
    with pytest.raises(
        InputError, match=r"runs/mine, whose points .* give its folder as `supernet"
    ):
        nas.export(nas.ParetoTable(content), tmp_path / "board")


def test_a_table_without_a_supernet_exports_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="comes with tables alone: nothing to export"):
        nas.export(nas.ParetoTable(small_result()), tmp_path / "board")


def test_ratios_of_every_clock_are_chosen_by_a_table_that_has_them(tmp_path: Path) -> None:
    asked = partial(nas.export, nas.ParetoTable(small_result()), tmp_path / "x", one_latency=True)
    with pytest.raises(InputError, match="the table says of no ratios which of them hold one late"):
        asked()
    with pytest.raises(InputError, match="`ids` is for points; `one_latency` chooses them"):
        asked(ids="L00-x")
