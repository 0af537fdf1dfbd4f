"""Published accuracies and official weights in one folder, and what ImageNet's images say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.search import SearchSettings
from nas.search.model import load_model
from nas.zoo.published import read_entry
from search_spaces import InputError, MobileNetV3Space
from supernets import build_supernet, load_supernet, to_ofa_state_dict
from tests.nas.conftest import nas, refused
from tests.supernets.data.test_imagenet import CLASSES, write_images


def imported(folder: Path, width: float) -> Path:
    torch.manual_seed(0)
    state = to_ofa_state_dict(build_supernet(MobileNetV3Space(width_mult=width)))
    folder.mkdir()
    torch.save(state, folder / "theirs.pt")
    done = nas("supernet", "import", folder / "theirs.pt", "--out", folder / "net")
    assert done.code == 0, done.err
    assert ("not verified with these weights" in done.err) is (width == 1)
    return folder / "net"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return imported(tmp_path_factory.mktemp("ofa") / "w1", 1.0)


def test_the_official_width_gets_the_published_accuracies_unverified(net: Path) -> None:
    entry = read_entry(net)
    assert (entry.verified, entry.weights_sha256 is None) == (None, False)
    model = load_model(SearchSettings("xavier-nx", "unused", supernet=str(net)))
    assert model.supernet is not None
    assert model.supernet["sha256"] == entry.weights_sha256
    assert "not verified with these weights" in model.supernet["accuracies"]
    assert "not verified" in (net / "card.md").read_text()


@pytest.mark.slow
def test_a_search_on_images_verifies_them_and_a_point_is_exported(
    net: Path, tmp_path: Path
) -> None:
    """Random weights guess: the published accuracies are not met, and that is said."""
    images, out = tmp_path / "imagenet", tmp_path / "run"
    write_images(images, n=10)
    command = ("search", "--device", "xavier-nx", "--supernet", net, "--data", images)
    few = ("--trials", 12, "--points", 5, "--levels", "-1", "--max-latency-ms", 1.4)
    done = nas(*command, *few, "--out", out)
    assert done.code == 0, done.err
    content = json.loads((out / "pareto.json").read_text())
    point = content["points"][0]
    gaps = {
        p["subnet"]: p["verified"]["top1_error_pct"] - p["top1_error_pct"]
        for p in content["points"]
    }
    entry = read_entry(net)
    assert entry.verified is not None
    assert entry.verified.n_images == point["verified"]["n_images"] == 25
    assert entry.verified.n_subnets == len(gaps)
    assert entry.verified.mean_gap_pct == pytest.approx(np.mean(list(gaps.values())), abs=1e-3)
    assert entry.verified.mean_gap_pct > 50
    assert "verified with these weights on 25 images" in content["supernet"]["accuracies"]
    alone = json.loads((out / "pareto.json").read_text())  # the same as a table without weights
    alone["supernet"]["sha256"] = None
    del alone["content_sha256"]
    (out / "alone.json").write_text(json.dumps(alone))
    export = ("export", "--pareto", out / "alone.json", "--id", point["id"], "--data", images)
    done = nas(*export, "--supernet", net, "--out", tmp_path / "board")
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / "board" / "manifest.json").read_text())
    assert manifest["supernet"]["sha256"] == entry.weights_sha256
    assert [c["id"] for c in manifest["configurations"]] == [point["id"]]


def test_a_configuration_of_ofa_is_exported_in_one_command(net: Path, tmp_path: Path) -> None:
    config = {"ks": [3] * 20, "e": [3] * 20, "d": [2] * 5, "image_size": 224}
    (tmp_path / "mine.json").write_text(json.dumps(config))
    write_images(tmp_path / "imagenet", n=1)
    command = ("export", "--pareto", tmp_path / "mine.json", "--out", tmp_path / "board")
    refused(nas(*command), "mine.json is a configuration: name its weights with --supernet")
    done = nas(*command, "--supernet", net, "--data", tmp_path / "imagenet")
    assert done.code == 0, done.err
    manifest = json.loads((tmp_path / "board" / "manifest.json").read_text())
    (found,) = manifest["configurations"]
    assert (found["id"], found["error_source"]) == ("mine", "predicted (published)")
    assert manifest["verified"]["equal_decisions"] == manifest["verified"]["decisions"]
    (tmp_path / "mine.json").write_text(json.dumps(config | {"image_size": 160}))
    command = (*command[:-1], tmp_path / "other")
    done = nas(*command, "--supernet", net, "--data", tmp_path / "imagenet", "--quiet")
    refused(done, "resolution of ofa-mobilenetv3-r224 must be one of (224,), got 160")


def test_another_width_has_no_published_accuracies(net: Path, tmp_path: Path) -> None:
    wide = imported(tmp_path / "w", 0.25)
    with pytest.raises(
        InputError, match=r"w.net holds weights without accuracies: `nas .* --data IMAGES`"
    ):
        load_model(SearchSettings("xavier-nx", "unused", supernet=str(wide)))
    assert load_supernet(wide / "weights.safetensors")[1]["data"]["format"] == "imagenet"


def test_a_folder_of_other_classes_is_one_line(net: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "imagenet", n=2)
    (tmp_path / "imagenet" / CLASSES[0]).rename(tmp_path / "imagenet" / "0")
    command = ("search", "--device", "xavier-nx", "--supernet", net, "--out", tmp_path / "run")
    refused(
        nas(*command, "--quiet", "--data", tmp_path / "imagenet"),
        "class folder '0', which is none of ImageNet's synsets",
        "not by their order",
    )
