"""`nas supernet import`: from a foreign file to a folder of ours, whole or not at all."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nas.zoo.card import card
from search_spaces import MobileNetV3Space
from supernets import build_supernet, load_supernet, to_ofa_state_dict
from tests.nas.conftest import nas

SPACE = MobileNetV3Space(n_classes=10, width_mult=0.25)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save({"state_dict": to_ofa_state_dict(build_supernet(SPACE))}, tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


def run(*arguments: object) -> str:
    """The command's stderr where it fails; empty where it does its work."""
    done = nas("supernet", "import", *map(str, arguments))
    assert done.code == (1 if "error: " in done.err else 0), done.err
    return done.err if done.code else ""


def test_a_checkpoint_becomes_a_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "net"
    checksum = hashlib.sha256(source.read_bytes()).hexdigest()
    assert not run(source, "--out", out, "--exits", "1,3", "--sha256", checksum.upper())
    assert sorted(path.name for path in out.iterdir()) == ["card.md", "weights.safetensors"]
    net, metadata = load_supernet(out / "weights.safetensors")
    assert net.space == SPACE.with_exits([1, 3])
    assert metadata["dataset"] == "imagenet"
    assert (metadata["source"], metadata["source_sha256"]) == ("theirs.pt", checksum)
    card = (out / "card.md").read_text()
    for part in ("MIT", checksum, "stages 1, 3, **not trained**", "the one that was asked for"):
        assert part in card
    assert f"{sum(p.numel() for p in net.parameters()):,}" in card
    assert nas("supernet", "info", str(out)).code == 0


def test_an_empty_folder_is_filled_and_a_full_one_refused(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "net"
    out.mkdir()
    assert not run(source, "--out", out)
    before = (out / "weights.safetensors").read_bytes()
    assert "net exists already; choose another --out" in run(source, "--out", out)
    assert (out / "weights.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sha256", "ab"], "expected ab; fetch it again"),
        (["--exits", "4"], "exits must rise and lie in 0..3"),
        (["--exits", "a"], "--exits must look like 1,2, got 'a'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    source: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    error = run(source, "--out", tmp_path / "net", *arguments)
    assert message in error
    assert error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["theirs.pt"]


def test_an_official_name_that_is_not_there_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    error = run("ofa_mbv3_d234_e346_k357_w1.2", "--out", tmp_path / "net")
    assert "https://raw.githubusercontent.com/han-cai/files/" in error
    assert "nas supernet import ofa_mbv3_d234_e346_k357_w1.2" in error
    assert error.count("\n") == 1


def test_weights_that_answer_with_infinity_are_refused(source: Path, tmp_path: Path) -> None:
    state = torch.load(source, weights_only=True)["state_dict"]
    state["classifier.linear.weight"].fill_(3e38)
    state["feature_mix_layer.conv.weight"].fill_(3e38)
    torch.save(state, source)
    assert "answers with infinite logits" in run(source, "--out", tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_an_evaluated_import_keeps_its_provenance_on_the_card(source: Path, tmp_path: Path) -> None:
    assert not run(source, "--out", tmp_path / "net")
    _, metadata = load_supernet(tmp_path / "net" / "weights.safetensors")
    named = [{"name": "largest", "subnet": "d4", "mmacs": 1.0, "top1": [50.0], "ece": [1.0]}]
    table = SimpleNamespace(
        supernet_sha256="ab", genes=[0], grid=[0], n_images=1, temperatures=[1.0]
    )
    test = SimpleNamespace(labels=[0], bn_images=[0])
    text = card("net", metadata, named, {}, table, test, "nas supernet evaluate net")
    for part in (
        "imported; trained on imagenet by its authors",
        "theirs.pt",
        "MIT",
        "evaluated by",
    ):
        assert part in text
