"""Entries that are tables of published accuracies: what they say, and how they are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas.zoo.folder import entry_folder, supernet_folder, zoo_names
from nas.zoo.published import ENTRY, read_entry, read_published
from search_spaces import InputError, get_space
from tests.nas.conftest import nas, refused

FIRST_EVALUATION = {  # of the search evoga_acc, as DyNAS-T published it: 75.448 %
    "ks": [5, 7, 5, 5, 3, 3, 3, 7, 5, 5, 3, 7, 7, 3, 3, 3, 5, 5, 5, 5],
    "e": [4, 3, 4, 4, 4, 6, 3, 4, 4, 3, 4, 3, 3, 6, 6, 6, 4, 3, 4, 4],
    "d": [2, 3, 2, 4, 3],
    "r": [224],
}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(entry_folder("ofa-mobilenetv3"), tmp_path / "mine")


def test_the_table_has_the_published_accuracies_and_the_predictor_agrees_with_it() -> None:
    entry, space, table, predictor = read_published(entry_folder("ofa-mobilenetv3"))
    assert "ofa-mobilenetv3" in zoo_names()
    assert (entry.dataset, table.source, len(table)) == ("imagenet", "published", 1668)
    genes = space.genes([get_space("ofa-mobilenetv3").parse(json.dumps(FIRST_EVALUATION))])
    error = table.top1_error_pct[table.rows(genes)[0], 0]
    assert error == pytest.approx(100 - 75.448, abs=0.01)  # the mean of two evaluations
    gap = predictor.predict(table.genes)[0][:, 0] - table.top1_error_pct[:, 0]
    assert np.abs(gap).mean() < 0.05  # it has seen them; on held-out searches the card says 0.07
    assert "| linasga_acc |" in (entry_folder("ofa-mobilenetv3") / "card.md").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"ks": 7, "e": 6, "d": 4, "r": 160}', r"resolution of .*-r224 must be one of \(224,\)"),
        ('{"ks": 9, "e": 6, "d": 4}', r"kernel0 of ofa-mobilenetv3-r224 must be one of \(3, 5, 7"),
        ('{"ks": 7, "e": 6, "d": 5}', r"depth0 of ofa-mobilenetv3-r224 must be one of \(2, 3, 4"),
        ('{"ks": 7, "e": 6, "d": 4, "wid": 1.2}', r"wid 1\.2 is another supernet than"),
    ],
)
def test_what_the_table_does_not_cover_is_refused(text: str, words: str) -> None:
    space = read_published(entry_folder("ofa-mobilenetv3"))[1]
    with pytest.raises(InputError, match=words):
        space.parse(text)


def test_there_are_no_weights_to_run() -> None:
    with pytest.raises(InputError, match=r"has no weights: `nas supernet import ofa_mbv3_d234_"):
        supernet_folder("ofa-mobilenetv3")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "nas.entry/2"}, r"entry\.json: schema: Input should be 'nas\.entry/1'"),
        ({"license": None}, r"entry\.json: license: "),
        ({"weights_sha256": "0" * 64}, "attached to the weights 0000"),
    ],
)
def test_an_entry_that_does_not_fit_is_answered_in_one_line(
    copied: Path, change: dict[str, str], words: str
) -> None:
    path = copied / ENTRY
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=words):
        read_entry(copied)


def test_one_command_searches_it_for_a_board(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("search", "--device", "xavier-nx", "--supernet", "ofa-mobilenetv3", "--out", out)
    done = nas(*command, "--trials", 40, "--points", 5)
    assert done.code == 0, done.err
    assert "accuracies of 1,668 subnets: published by DyNAS-T" in done.err
    assert "accuracy: published by DyNAS-T; no weights" in done.out
    assert "weights: nas supernet import ofa_mbv3_d234_e346_k357_w1.0" in done.out
    assert "exit is taken" not in done.out
    content = json.loads((out / "pareto.json").read_text())
    assert (content["space"], len(content["levels"])) == ("ofa-mobilenetv3-r224", 15)
    _, space, table, _ = read_published(entry_folder("ofa-mobilenetv3"))
    points = content["points"]
    rows = table.rows(space.parse_all([p["subnet"] for p in points]))
    for point, row in zip(points, rows, strict=True):
        known = "published" if row >= 0 else "predicted (published)"
        assert point["error_source"] == known
        if row >= 0:
            assert point["top1_error_pct"] == pytest.approx(table.top1_error_pct[row, 0], abs=1e-4)
    assert {p["error_source"] for p in points} == {"published", "predicted (published)"}
    refused(nas("export", "--pareto", out / "pareto.json", "--out", tmp_path / "b"), "no weights")
    given = ("--pareto", out / "pareto.json", "--out", tmp_path / "configs", "--format")
    assert nas("export", *given, "ofa").code == 0
    by_id = {p["id"]: p["subnet"] for p in points}
    files = sorted((tmp_path / "configs").iterdir())
    assert sorted(path.stem for path in files) == sorted(content["front"])
    for path in files:
        config = json.loads(path.read_text())
        assert (len(config["ks"]), len(config["d"]), config["image_size"]) == (20, 5, 224)
        assert str(get_space("ofa-mobilenetv3").parse(path.read_text())) == by_id[path.stem]
    refused(nas("export", *given, "ofa"), "configs exists already")
    refused(nas("export", *given, "ofa", "--traces"), "--traces is for networks; --format ofa wri")
    refused(nas("export", *given, "tflite"), "--format must be onnx or ofa, got 'tflite'")
