"""An export in int8 says what its engine does, on images that chose nothing of it."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest

from nas.pareto import read_pareto
from nas.runtime import Engine, Manifest, read_manifest
from supernets import load_dataset
from tests.nas.conftest import Digits, Searched, export


@pytest.fixture(scope="module")
def small(searched: Searched, digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """A point with early exits in int8."""
    run, board = searched.run, read_manifest(str(searched.board))
    id_ = max(board.content["configurations"], key=lambda c: (len(c["after"]), c["macs"]))["id"]
    out = tmp_path_factory.mktemp("int8") / "board"
    found = export(run, digits, out, "--data", "digits", "--precision", "int8", "--id", id_)
    assert found.code == 0, found.err
    assert re.search(r"int8 answers [\d.]+ % wrongly and fp32 [\d.]+ %", found.err)
    assert "those of fp16: a search with `--precision int8`" in found.err
    return read_manifest(str(out))


def test_int8_says_what_its_engine_does_on_the_test_images(small: Manifest) -> None:
    (own,) = small.content["configurations"]
    test = load_dataset(None).test
    answers = Engine(small)(own["id"], small.normalise(test.images.numpy()))
    wrong = 100 * (answers.classes != test.labels.numpy()).mean()
    assert own["top1_error_pct"] == pytest.approx(wrong, abs=0.34)  # one image of 300
    rates = [(answers.exits == k).mean() for k in range(len(own["exit_rates"]))]
    assert own["exit_rates"] == pytest.approx(rates, abs=0.011)
    assert (small.content["precision"], own["error_source"]) == ("int8", "measured")
    checked = small.content["verified"]
    assert (checked["images"], checked["n_images"]) == ("digits test", 300)
    assert abs(checked["top1_error_pct"] - checked["fp32_top1_error_pct"]) < 3


def test_as_many_images_leave_an_int8_network_at_every_exit(
    small: Manifest, board: Manifest
) -> None:
    """On the validation images that its thresholds were fitted on."""
    (own,) = small.content["configurations"]
    assert own["after"]
    images = small.normalise(load_dataset(None).validation.images.numpy())
    found, wanted = (Engine(m)(own["id"], images).exits for m in (small, board))
    for exit_ in (*own["after"], 3):
        assert (found == exit_).sum() == pytest.approx((wanted == exit_).sum(), abs=2)
    assert own["thresholds"] != board.configuration(own["id"])["thresholds"]


def test_int8_segments_hold_whole_numbers(small: Manifest) -> None:
    for file in small.network(small.ids[0])["segments"]:
        model = onnx.load(Path(small.folder) / file)
        weights = [w for w in model.graph.initializer if len(w.dims) == 4]
        assert weights
        assert {w.data_type for w in weights} == {onnx.TensorProto.INT8}
    assert "shared" not in small.content


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--bn-cache", "CACHE"), "int8 takes its ranges and thresholds from images: give --data"),
        (("--data", "digits", "--traces"), "--traces are of float networks: export them without"),
        (
            ("--data", "digits", "--precision", "int4"),
            "--precision must be one of fp32, fp16, int8",
        ),
    ],
)
def test_what_int8_needs(
    asked: tuple[str, ...], message: str, run: Path, digits: Digits, cache: Path, tmp_path: Path
) -> None:
    asked = tuple(str(cache) if part == "CACHE" else part for part in asked)
    front = ("--id", read_pareto(run / "pareto.json").content["front"][0])
    found = export(run, digits, tmp_path / "b", "--precision", "int8", *front, *asked)
    assert found.code == 1
    assert message in found.err
    assert not (tmp_path / "b").exists()
