"""Searching on images: what is evaluated, what is kept, what a kill and a full disk leave."""

import json
import resource
import sys
import time
import zlib
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import torch

from nas.search.images.evaluator import Evaluator, one_thread
from nas.search.images.log import EvaluatedAccuracy, EvaluationLog
from predictors import AccuracyTable
from search_spaces import InputError, PolicyGrid
from supernets import Evaluation, policy_accuracy
from tests.nas.conftest import in_process, kill, nas, nas_in_process
from tests.nas.search.test_run import command, comparable
from tests.supernets import tiny

GRID = PolicyGrid(tiny.SPACE.n_exits, (0.3, 0.7))
TEMPERATURES = (1.0, 0.8, 1.2, 1.0)
SUBNETS = [str(subnet) for subnet in tiny.subnets(4)]


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    data = Evaluation.of(tiny.digits(), "validation")
    few = replace(data, images=data.images[:120], labels=data.labels[:120])
    return Evaluator(tiny.supernet(), few, GRID, TEMPERATURES)


def accuracy(evaluator, log, evaluate=None):
    genes = tiny.SPACE.parse_all(SUBNETS[:1])
    rate = np.zeros((1, len(GRID), GRID.n_exits + 1), dtype=np.float32)
    table = AccuracyTable(genes, GRID, np.full((1, len(GRID)), 7, dtype=np.float32), rate)
    return EvaluatedAccuracy(tiny.SPACE, table, log, evaluate or evaluator.each)


def test_an_evaluation_is_that_of_the_accuracy_table(evaluator, tmp_path):
    log = EvaluationLog(tmp_path / "e.jsonl", evaluator.describe())
    genes = tiny.SPACE.parse_all(SUBNETS)
    error, rates, measured = accuracy(evaluator, log)(genes)
    assert measured.all()
    assert (error[0] == 7).all(), "a subnet of the table answers with its own row"
    for i, subnet in enumerate(tiny.SPACE.subnets(genes)[1:], start=1):
        with one_thread():
            e, r = policy_accuracy(evaluator.supernet, subnet, evaluator.data, GRID, TEMPERATURES)
        np.testing.assert_allclose(error[i], e, rtol=1e-6)
        np.testing.assert_allclose(rates[i], r, atol=1e-3)
        np.testing.assert_allclose(rates[i].sum(axis=1), 1, rtol=1e-6)


def test_an_evaluator_that_travelled_as_arrays_counts_the_same(evaluator):
    content = evaluator.to_arrays()
    for array in content["weights"].values():
        array.setflags(write=False)  # as an object store hands them out
    again = Evaluator.from_arrays(content)
    assert again.describe() == evaluator.describe()
    for subnet in SUBNETS:
        np.testing.assert_array_equal(again(subnet), evaluator(subnet))
    conv = next(p for p in again.supernet.parameters() if p.dim() == 4 and p.shape[2] > 1)
    assert conv.is_contiguous(memory_format=torch.channels_last)


def test_what_was_evaluated_is_never_evaluated_again(evaluator, tmp_path):
    path = tmp_path / "e.jsonl"
    genes = tiny.SPACE.parse_all(SUBNETS)
    log = EvaluationLog(path, evaluator.describe())
    first = accuracy(evaluator, log)(genes)
    log.close()
    log = EvaluationLog(path, evaluator.describe())

    def never(subnets):
        raise AssertionError(subnets)

    for a, b in zip(first, accuracy(evaluator, log, never)(genes), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-40],
        lambda data: data + b'{"subnet":"d1',
        lambda data: data.replace(b'"counts":[[', b'"counts":[[9', 1),
        lambda data: data.replace(b'"counts":[[', b'"counts":[[[', 1),
        lambda data: data.replace(b'"counts":[[', b'"counts":[["x",', 1),
        lambda data: b"".join(
            line if i != 2 else b"\xff garbage\n"
            for i, line in enumerate(data.splitlines(keepends=True))
        ),
    ],
)
def test_a_damaged_line_costs_one_evaluation(evaluator, tmp_path, damage):
    path = tmp_path / "e.jsonl"
    log = EvaluationLog(path, evaluator.describe())
    for subnet, counts in evaluator.each(SUBNETS):
        log.add(subnet, counts)
    log.close()
    path.write_bytes(damage(path.read_bytes()))
    again = EvaluationLog(path, evaluator.describe())
    assert len(SUBNETS) - 1 <= len(again.counts) <= len(SUBNETS)
    for subnet, counts in again.counts.items():
        np.testing.assert_array_equal(counts, log.counts[subnet])
    for subnet in SUBNETS:
        again.add(subnet, log.counts[subnet])
    again.close()
    np.testing.assert_array_equal(
        EvaluationLog(path, evaluator.describe()).counts[SUBNETS[0]], log.counts[SUBNETS[0]]
    )


def test_a_changed_name_is_found_and_older_files_are_read(evaluator, tmp_path):
    """Before, the checksum was of the counts alone."""
    path = tmp_path / "e.jsonl"
    log = EvaluationLog(path, evaluator.describe())
    counts = evaluator(SUBNETS[0])
    log.add(SUBNETS[0], counts)
    log.close()
    whole = path.read_text()
    path.write_text(whole.replace(f'"{SUBNETS[0]}"', f'"{SUBNETS[1]}"'))
    assert EvaluationLog(path, evaluator.describe()).counts == {}
    header, line = whole.splitlines()
    older = json.loads(line) | {"crc32": zlib.crc32(counts.astype("<i4").tobytes())}
    path.write_text(f"{header}\n{json.dumps(older)}\n")
    found = EvaluationLog(path, evaluator.describe()).counts
    np.testing.assert_array_equal(found[SUBNETS[0]], counts)


def test_evaluations_on_other_images_are_refused(evaluator, tmp_path):
    EvaluationLog(tmp_path / "e.jsonl", evaluator.describe()).close()
    other = evaluator.describe() | {"images_sha256": "0"}
    with pytest.raises(InputError, match="evaluations with another images_sha256; give the same"):
        EvaluationLog(tmp_path / "e.jsonl", other)


def test_a_cluster_without_ray_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("nas.cluster.cluster", "nas.cluster.trials"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(InputError, match=r"`ray` needs Ray .* pip install 'nas\[ray\]'"):
        import_module("nas.cluster.cluster")


# ---- the command -------------------------------------------------------------------------------


def on_images(digits, out, *more):
    few = "--trials", 24, "--points", 5
    return command(digits, out, "--evaluate", "--data", "digits", "--quiet", *few, *more)


@pytest.fixture(scope="module")
def result(digits, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated") / "run"
    (out / "tune").mkdir(parents=True)  # somebody's, whose name was ours once
    done = nas(*on_images(digits, out))
    assert done.code == 0, done.err
    assert (out / "tune").is_dir()
    return comparable(out)


def test_every_point_of_a_search_on_images_is_measured(result):
    assert {p["error_source"] for p in result["points"]} == {"measured"}
    assert {b["error_source"] for b in result["baselines"]} == {"measured"}


def test_a_kill_between_two_images_costs_one_evaluation(digits, result, tmp_path):
    out = tmp_path / "run"
    log = out / "evaluations.jsonl"
    process = nas_in_process(*on_images(digits, out))
    while not log.exists() or log.read_bytes().count(b"\n") < 6:
        assert process.is_alive()
        time.sleep(0.005)
    kill(process)
    kept = log.read_bytes()
    assert nas(*on_images(digits, out, "--resume")).code == 0
    assert comparable(out) == result
    whole = kept[: kept.rfind(b"\n") + 1]
    assert log.read_bytes().startswith(whole)
    names = [json.loads(line).get("subnet") for line in log.read_bytes().splitlines()]
    assert len(names) == len(set(names))


def test_a_full_disk_is_one_line_and_the_search_goes_on_when_there_is_room(
    digits, result, tmp_path
):
    out = tmp_path / "run"

    def until_full():
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        done = nas(*on_images(digits, out))
        (tmp_path / "said").write_text(done.err)
        sys.exit(done.code)

    process = in_process(until_full)
    process.join(120)
    assert process.exitcode == 1
    said = (tmp_path / "said").read_text()
    assert (
        said.splitlines()[-1] == "error: cannot write: File too large; what was done so far is kept"
    )
    assert "Traceback" not in said
    assert nas(*on_images(digits, out, "--resume")).code == 0
    assert comparable(out) == result


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--evaluate"], "--evaluate runs every subnet on the validation images: name them with"),
        (["--ray", "local"], "--ray runs every subnet on the validation images: name them with"),
        (["--ray-async", "--evaluate", "--data", "digits"], "--ray-async needs --ray auto"),
    ],
)
def test_options_that_do_not_fit_are_one_line(digits, tmp_path, options, said):
    done = nas(*command(digits, tmp_path / "run", *options))
    assert done.code == 1
    assert said in done.err
    assert not (tmp_path / "run").exists()
