"""A command that was stopped says that its work is kept where the same command goes on with it."""

from pathlib import Path

import pytest

from nas.cli.app import built
from nas.cli.stopped import kept

KEPT = "; what was done so far is kept"


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("search --device nano --out run", "run/run.json"),
        ("search --device nano --device tx2", "runs/nano+tx2/run.json"),
        ("measure --device host --out=rows.csv", "rows.csv"),
        ("prune resnet-cifar10 --out run", "run/pruning.safetensors"),
        ("supernet train --out run", "run/masks/training.safetensors"),
        ("supernet evaluate net", "net/accuracy.safetensors"),
        ("supernet calibrate net --pareto p.json --out bn.st", "bn.st"),
    ],
)
def test_work_is_kept_once_there_is_a_file_to_go_on_with(
    command: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert kept(built(), command.split()) == ""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).touch()
    assert kept(built(), command.split()) == KEPT


@pytest.mark.parametrize(
    "command",
    [
        "",
        "spaces",
        "search",
        "search --out",
        "export --pareto p.json --out board",
        "predictor train",
    ],
)
def test_what_begins_anew_keeps_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("board").mkdir()
    assert kept(built(), command.split()) == ""
