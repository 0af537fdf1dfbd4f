"""An exported folder starts itself, where nothing else of the project is."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from nas.export.carry import MAIN
from nas.runtime import Engine, Manifest
from nas.start.main import AT_ONCE, main
from supernets import load_dataset
from tests.alone import run_alone

RUN = """
import runpy
sys.argv = {arguments}
runpy.run_path(sys.argv[0], run_name="__main__")
assert sys.modules["nas"].__file__.startswith(sys.argv[0])
"""


def test_the_folder_answers_an_image_alone(board: Manifest, tmp_path: Path) -> None:
    """Copied elsewhere, started where nothing else of the project and no torch can be imported."""
    folder = shutil.copytree(board.folder, tmp_path / "copied")
    data = load_dataset(None).validation
    n = AT_ONCE + 1  # one more than are answered together
    for i in range(n):
        np.save(tmp_path / f"{i}.npy", data.images[i].permute(1, 2, 0).numpy())
    names = [str(tmp_path / f"{i}.npy") for i in range(n)]
    arguments = [str(folder / "run.pyz"), "classify", *names, "--json"]
    blocked = {"supernets", "predictors", "search_spaces", "torch", "onnx", "PIL", "pydantic"}
    code = RUN.replace("{arguments}", repr(arguments))
    said = run_alone(code, f"top in {blocked}", tmp_path, "-I")
    rows = [json.loads(line) for line in said.splitlines()]
    wanted = Engine(board)(rows[0]["configuration"], board.normalise(data.images[:n].numpy()))
    assert [row["image"] for row in rows] == names
    assert [int(row["class"]) for row in rows] == wanted.classes.tolist()
    assert [row["exit"] for row in rows] == wanted.exits.tolist()
    assert [row["confidence"] for row in rows] == pytest.approx(wanted.confidence, abs=1e-4)


def test_the_folder_lists_and_measures_itself(
    board: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    main(board.folder, ["list"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == board.ids
    main(board.folder, ["benchmark", "--n", "2", "--repeats", "5", "--json"])
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len({board.configuration(row["id"])["network"] for row in rows}) == 2
    assert all(0 < row["median_ms"] <= row["p99_ms"] for row in rows)
    assert {row["source"] for row in rows} == {"measured"}
    with pytest.raises(SystemExit):
        main(board.folder, ["benchmark", "--repeats", "0"])
    assert capsys.readouterr().err == "run.pyz: --repeats must be positive and finite, got 0\n"


def test_a_board_that_lacks_a_package_is_told_what_to_install(
    board: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "0.npy", np.zeros((8, 8, 1), np.uint8))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemExit):
        main(board.folder, ["classify", str(tmp_path / "0.npy")])
    said = capsys.readouterr().err
    assert said == "run.pyz: onnxruntime is not installed: pip install onnxruntime\n"
    ast.parse(MAIN, feature_version=(3, 6))  # JetPack 4 says what it lacks, too


def test_a_terminal_that_lacks_a_letter_shows_the_rest(
    board: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "λ.npy", np.zeros((8, 8, 1), np.uint8))
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, "latin-1"))
    main(board.folder, ["classify", str(tmp_path / "λ.npy")])
    assert b"/?.npy: " in shown.getvalue()


def test_a_reader_that_has_seen_enough_is_no_traceback(
    board: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python3 run.pyz list | head`"""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as stopped:
            main(board.folder, ["list"])
    assert stopped.value.code == 1
