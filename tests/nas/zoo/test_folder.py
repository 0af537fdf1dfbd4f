"""The supernet, the table, the predictor and the proxy rows that ship with the project."""

import json
import os
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from nas.api import export
from nas.api import search as nas_search
from nas.devices import profile_names
from nas.pareto import read_pareto
from nas.runtime import read_manifest
from nas.search import SearchSettings
from nas.search.model import load_model
from nas.transfer.quality import held_out, training_data
from nas.zoo.folder import STATISTICS, by_hand, folder_table, supernet_folder
from predictors import LatencyPredictor, read_rows
from search_spaces import Genes, InputError, Space, get_space
from supernets import build_supernet, load_supernet, read_bn_cache, save_supernet, sha256
from tests.nas.conftest import nas

FOLDER = supernet_folder("auto")
ROWS = Path(str(files("nas.devices"))) / "proxies" / "resnet-cifar-host.csv"


@pytest.fixture(scope="module")
def model():
    return load_model(SearchSettings("xavier-nx", Path("unused")))


def final_mmacs(space: Space, genes: Genes) -> float:
    heads = np.arange(space.n_exits + 1)[None] == space.n_exits
    return float(space.operators(genes, heads).macs.sum() / 1e6)


def test_the_space_is_large_and_wide(model):
    space = model.space
    assert space.n_exits >= 3
    largest, smallest = final_mmacs(space, space.largest), final_mmacs(space, space.smallest)
    assert 60 <= largest <= 110
    assert smallest <= 0.05 * largest


def test_the_table_holds_real_evaluations_of_enough_subnets(model):
    table = model.accuracy.table
    assert len(table) >= 500
    assert len(table.grid) == 729
    assert (table.source, table.split, table.n_images) == ("measured", "validation", 5000)
    assert sum(f.stat().st_size for f in FOLDER.rglob("*")) < 20e6


def test_evaluated_subnets_answer_with_their_own_row(model):
    table = model.accuracy.table
    error, rates, measured = model.accuracy(table.genes[:5])
    assert measured.all()
    np.testing.assert_array_equal(error, table.top1_error_pct[:5])
    np.testing.assert_allclose(rates.sum(axis=2), 1, atol=1e-5)


def test_the_proxy_rows_are_measured_and_can_be_learned():
    space = load_model(SearchSettings("xavier-nx", Path("unused"))).space
    rows = read_rows(ROWS, space)
    assert rows["subnet"].nunique() >= 300
    assert set(rows["source"]) == {"measured"}
    X, y, subnets, _ = training_data(ROWS, space, "latency_ms")
    quality = held_out(LatencyPredictor().fit(X, y, subnets), y, subnets)
    assert quality["srcc"] > 0.99
    assert quality["mape_pct"] < 2.5
    assert 85 < quality["coverage_pct"] < 95


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The README's search."""
    out = tmp_path_factory.mktemp("zoo") / "run"
    done = nas("search", "--device", "xavier-nx", "--out", out)
    assert done.code == 0, done.err
    return out


def test_the_main_job(run):
    table = read_pareto(run / "pareto.json")
    assert len(table.levels) == 15
    for level in table.levels:
        points = table.at(level["level"])
        assert len(points) >= 5
        assert any(p["exits"]["after"] for p in points)
    energy = [b["energy_mj"] for b in table.content["baselines"] if b["name"] == "largest"]
    assert 0 < np.argmin(energy) < 14
    assert table.content["predictors"]["latency_ms"]["n_target_rows"] == 24


def shipped_statistics() -> set[str]:
    """Subnets whose batch-norm statistics ship."""
    weights = FOLDER / "weights.safetensors"
    return set(read_bn_cache(FOLDER / STATISTICS, load_supernet(weights)[0], sha256(weights)))


def test_the_statistics_that_ship_cover_the_default_search(run, tmp_path):
    """Every point can be exported without any image."""
    table = read_pareto(run / "pareto.json")
    assert {p["subnet"] for p in table.points} <= shipped_statistics()
    id_ = next(p["id"] for p in table.points if len(p["exits"]["after"]) == 3)
    done = nas("export", "--pareto", run / "pareto.json", "--id", id_, "--out", tmp_path / "board")
    assert done.code == 0, done.err
    assert "predicted" not in done.err
    manifest = read_manifest(str(tmp_path / "board"))
    assert len(manifest.network(id_)["segments"]) == 4
    assert manifest.network(id_)["statistics"] == "measured"
    assert manifest.content["input"]["classes"][0] == "airplane"


@pytest.mark.slow
@pytest.mark.parametrize("device", profile_names())
def test_the_statistics_that_ship_cover_the_default_search_of_every_device(device, tmp_path):
    """Floating point of another machine may end in a few other subnets; these are predicted."""
    table = nas_search(device=device, out=tmp_path / "run")
    missing = {p["subnet"] for p in table.points} - shipped_statistics()
    assert len(missing) <= 0.1 * len({p["subnet"] for p in table.points})
    for subnet in sorted(missing)[:1]:
        id_ = next(p["id"] for p in table.points if p["subnet"] == subnet)
        manifest = export(table, tmp_path / "board", ids=[id_])
        assert manifest.network(id_)["statistics"] == "predicted"


def test_a_card_keeps_what_was_added_by_hand(tmp_path):
    card = tmp_path / "card.md"
    assert by_hand(card) == ""
    card.write_text("# net\n\n- srcc: 0.9\n")
    assert by_hand(card) == ""
    card.write_text("# net\n\n- srcc: 0.9\n\n## How it was made\n\nBy hand.\n")
    assert by_hand(card) == "\n## How it was made\n\nBy hand.\n"


@pytest.mark.skipif("NAS_CIFAR10" not in os.environ, reason="NAS_CIFAR10 names no CIFAR-10 folder")
def test_the_card_tells_the_accuracy_of_the_largest_subnet(model):
    from supernets import Evaluation, load_dataset, policy_accuracy

    supernet, _ = load_supernet(FOLDER / "weights.safetensors")
    images = Evaluation.of(load_dataset(Path(os.environ["NAS_CIFAR10"])), "test")
    table = model.accuracy.table
    largest = supernet.space.subnet(supernet.space.largest)
    error, _ = policy_accuracy(supernet, largest, images, table.grid, table.temperatures)
    card = (FOLDER / "card.md").read_text()
    row = next(line for line in card.splitlines() if line.startswith("| largest"))
    assert f"{100 - error[0]:.2f} (" in row


def test_groups_ship_with_all_that_search_and_export_need():
    folder = supernet_folder("alexnet-g4-cifar10")
    net, metadata = load_supernet(folder / "weights.safetensors")
    assert metadata["kind"] == net.kind == "groups"
    assert metadata["data"]["name"] == "cifar10"
    checksum = sha256(folder / "weights.safetensors")
    table = folder_table(folder, net.space)
    assert table.supernet_sha256 == checksum
    errors = dict(zip(table.genes[:, 0].tolist(), table.top1_error_pct[:, 0], strict=True))
    assert [errors[n] for n in (1, 2, 3, 4)] == sorted(errors.values(), reverse=True)
    statistics = read_bn_cache(folder / STATISTICS, net, checksum)
    assert set(statistics) == {"g1", "g2", "g3", "g4"}
    card = (folder / "card.md").read_text()
    assert checksum in card
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 2e6
    told = nas("supernet", "points", "alexnet-g4-cifar10", "--device", "odroid-xu3", "--json")
    (reach,) = json.loads(told.out)
    assert reach["all_points"]["n_points"] == 4 * 4 * (19 + 13)


def test_weights_from_python_ask_for_images_to_evaluate(tmp_path):
    """Their file names no dataset."""
    net = build_supernet(get_space("resnet-digits"))
    save_supernet(net, tmp_path / "weights.safetensors")
    asked = f"nas supernet evaluate {tmp_path} --data IMAGES"
    with pytest.raises(InputError, match=re.escape(f"without accuracies: `{asked}`")):
        folder_table(tmp_path, net.space)
