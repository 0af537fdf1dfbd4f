"""What cannot be exported, or read again, is one line, and nothing half-checked is left behind."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nas.export.verify import _difference
from nas.export.write import check_asked
from nas.pareto import ParetoTable, read_pareto
from nas.runtime import Engine, Manifest, ManifestError, read_manifest
from search_spaces import InputError
from tests.nas.conftest import Digits, export

# ---- what a person may get wrong -----------------------------------------------------------------


def test_batch_norm_needs_images_or_a_cache(run: Path, digits: Digits, tmp_path: Path) -> None:
    found = export(run, digits, tmp_path / "b")
    assert found.code == 1
    assert "give --data DIR with the training images, or --bn-cache" in found.err
    assert found.err.count("\n") == 1


def test_other_weights_are_refused(run: Path, digits: Digits, tmp_path: Path) -> None:
    table = read_pareto(run / "pareto.json").content
    table["supernet"]["sha256"] = "0" * 64
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "pareto.json").write_text(json.dumps(table))
    found = export(tmp_path / "run", digits, tmp_path / "b", "--data", "digits")
    assert found.code == 1
    assert "the table was made with the weights 000000000000" in found.err
    assert not (tmp_path / "b").exists()


def test_an_unknown_point_is_named(run: Path, digits: Digits, tmp_path: Path) -> None:
    found = export(run, digits, tmp_path / "b", "--data", "digits", "--id", "L99-x")
    assert found.code == 1
    assert "no point 'L99-x' in the table" in found.err


def test_a_cache_without_the_subnet_is_refused(
    run: Path, digits: Digits, cache: Path, tmp_path: Path
) -> None:
    from supernets.checkpoint import read_tensors, write_tensors

    tensors, metadata = read_tensors(cache, "nas.bn/1")
    write_tensors(tmp_path / "bn", dict(list(tensors.items())[:0]), metadata)
    found = export(run, digits, tmp_path / "b", "--bn-cache", tmp_path / "bn")
    assert found.code == 1
    assert "has no statistics of d" in found.err


def test_a_folder_that_holds_something_is_refused(
    run: Path, digits: Digits, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    found = export(run, digits, tmp_path / "b", "--data", tmp_path / "nowhere")  # not looked at yet
    assert found.code == 1
    assert "exists already; choose another --out" in found.err
    assert (tmp_path / "b" / "mine.txt").read_text() == "mine"


def test_the_folder_that_one_is_in_is_no_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is the folder that you are in; name a new one"):
        check_asked(Path(), "fp32")


def test_a_table_without_supernet_is_refused(run: Path, digits: Digits, tmp_path: Path) -> None:
    table = read_pareto(run / "pareto.json").content | {"supernet": None}
    assert isinstance(ParetoTable(table), ParetoTable)
    (tmp_path / "pareto.json").write_text(json.dumps(table))
    found = export(tmp_path, digits, tmp_path / "b", "--data", "digits")
    assert found.code == 1
    assert "comes with tables alone: nothing to export" in found.err


def test_a_graph_that_answers_differently_is_not_kept(
    run: Path, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        __import__("nas.onnx.graph", fromlist=["LAYERS"]).LAYERS,
        torch.nn.ReLU,
        lambda build, module, x, value: build.node("Sigmoid", x),
    )
    found = export(run, digits, tmp_path / "b", "--data", "digits")
    assert found.code == 1
    assert "ONNX Runtime answers differently" in found.err
    assert list(tmp_path.iterdir()) == []


def test_a_logit_that_is_no_number_is_a_difference() -> None:
    ones, other = torch.ones(2, 3), np.full((2, 3), np.nan, np.float32)
    assert np.isnan(_difference([ones, ones], [ones.numpy(), other]))


def test_without_the_extra_it_says_what_to_install(
    run: Path, digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.export", sys.modules["nas.export"])  # put back at the end
    for name in [m for m in sys.modules if m.startswith("nas.export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    found = export(run, digits, tmp_path / "b", "--data", "digits")
    assert found.code == 1
    assert "pip install 'nas[export]'" in found.err


# ---- the manifest --------------------------------------------------------------------------------


def test_a_changed_file_is_refused(board: Manifest, tmp_path: Path) -> None:
    shutil.copytree(board.folder, tmp_path / "b")
    first = next(iter(board.content["files"]))
    data = bytearray((tmp_path / "b" / first).read_bytes())
    data[-1] ^= 1
    (tmp_path / "b" / first).write_bytes(data)
    with pytest.raises(ManifestError, match=f"{first} was changed since it was exported"):
        read_manifest(str(tmp_path / "b"))
    (tmp_path / "b" / first).unlink()
    with pytest.raises(ManifestError, match=f"{first} is missing; copy the whole exported folder"):
        read_manifest(str(tmp_path / "b"))


def test_a_folder_without_manifest_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="does not exist; `nas export` writes one"):
        read_manifest(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(ManifestError, match="is no readable manifest"):
        read_manifest(str(tmp_path))
    (tmp_path / "manifest.json").write_text('{"schema": "nas.manifest/7"}')
    with pytest.raises(ManifestError, match=r"has schema 'nas\.manifest/7', expected"):
        read_manifest(str(tmp_path))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((2, 8, 8, 1), np.float32), "got (2, 8, 8, 1); channels come first"),
        (np.zeros((1, 8, 8), np.float32), "got (1, 8, 8); one image is a batch as well"),
        (np.zeros((2, 3, 32, 32), np.float32), "got (2, 3, 32, 32); resize them"),
        (np.zeros((2, 1, 8, 8), np.uint8), "got uint8; manifest.normalise(images) makes"),
        (np.full((1, 1, 8, 8), np.nan, np.float32), "images have values that are not finite"),
        (np.full((1, 1, 8, 8), 3.4e38, np.float32), "answers numbers that are not finite"),
    ],
)
def test_other_images_are_refused_in_one_line(
    board: Manifest, images: NDArray[np.generic], said: str
) -> None:
    with pytest.raises(ManifestError, match=re.escape(said)) as refused:
        Engine(board)(board.ids[0], images)
    with pytest.raises(ManifestError, match=r"pixels must be uint8 of the shape \(N, 1, height"):
        board.normalise(images[..., None])
    assert "\n" not in str(refused.value)


def test_an_unknown_configuration_is_named(board: Manifest) -> None:
    with pytest.raises(ManifestError, match="no configuration 'x' in"):
        Engine(board)("x", np.zeros((1, 1, 8, 8), np.float32))
