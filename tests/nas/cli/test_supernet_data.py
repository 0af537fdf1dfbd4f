"""Your own images: from a folder of pictures to a Pareto set, and what is refused on the way."""

import json
import shutil
from pathlib import Path

import pytest

from nas.cli.output import search_out
from nas.pareto import read_pareto
from search_spaces import InputError
from tests.nas.cli.test_app import refused
from tests.nas.conftest import nas
from tests.supernets.pictures import write_classes


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """48 pictures of three classes, one of them rare."""
    return write_classes(tmp_path_factory.mktemp("images") / "shapes")


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """A supernet trained on the shapes for two epochs and evaluated on 20 subnets."""
    out = tmp_path_factory.mktemp("shapes") / "net"
    train = "supernet train --epochs 2 --batch-size 16 --threads 1"
    done = nas(*train.split(), "--data", shapes, "--out", out)
    assert done.code == 0, done.err
    for line in (
        "shapes: image folder, 3 classes, 16x16 pixels, colour",
        "38 training, 5 validation and 5 test images",
        "validation images are drawn from the training images",
        "uneven classes: 20 training images of bars, 2 of rings (10.0 to 1)",
    ):
        assert line in done.err
    done = nas("supernet", "evaluate", out, "--data", shapes, "--samples", 20)
    assert done.code == 0, done.err
    search = f"nas search --device xavier-nx --supernet {out} --data {shapes} --out runs/net"
    assert done.err.splitlines()[-1] == f"next: {search}"
    assert "for 2 epochs (0 minutes on" in (out / "card.md").read_text()
    return out


def test_images_become_a_pareto_set(shapes, trained, tmp_path):
    search = ("search", "--supernet", trained, "--device", "xavier-nx", "--trials", 40)
    done = nas(*search, "--data", shapes, "--points", 5, "--out", tmp_path / "run")
    assert done.code == 0, done.err
    assert f"--data {shapes}" in done.out.partition("export: nas export")[2]
    table = read_pareto(tmp_path / "run" / "pareto.json")
    assert table.content["space"] == "resnet-16x16x3-3"
    assert len(table.levels) == 15
    assert all(p["verified"]["n_images"] == 5 for p in table.points)


def test_a_search_does_not_write_into_its_supernet(trained, tmp_path, monkeypatch):
    search = ("search", "--supernet", trained, "--device", "xavier-nx", "--out", trained)
    refused(
        nas(*search, "--quiet"), f"--out is the folder of the supernet, {trained}; name another"
    )
    monkeypatch.chdir(tmp_path)
    assert search_out("net") == search_out("other/net") == Path("runs/net")
    assert search_out("runs/net") == search_out(tmp_path / "runs/net") == Path("runs/net-search")


def test_the_checkpoint_tells_how_to_prepare_an_image(shapes, trained):
    metadata = json.loads(nas("supernet", "info", trained, "--json").out)
    found = json.loads(nas("supernet", "data", shapes, "--json").out)
    assert metadata["data"].items() <= found.items()
    assert found["classes"] == ["bars", "dots", "rings"]
    assert found["counts"]["train"] == [20, 16, 2]
    assert found["imbalance"] == 10
    assert found["space"] == metadata["space"]["name"]


def test_what_was_found_is_shown(shapes):
    done = nas("supernet", "data", shapes, "--resolution", 24, "--no-flip")
    shown, train = done.out, f"next: nas supernet train --data {shapes}"
    assert done.err.splitlines()[-1] == f"{train} --resolution 24 --no-flip --out mynet"
    refused(nas("supernet", "data", shapes / "no"), "no folder", "FOLDER must be the folder")
    assert "24x24 pixels" in shown
    assert "mirrored images are not valid" in shown
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith("rings")]
    assert rows == [["rings", "2", "1", "1"]]
    assert "10 classes, 109 to 130 training images each" in nas("supernet", "data", "digits").out


def test_rows_of_a_board_are_those_of_the_target(trained, tmp_path):
    rows = tmp_path / "rows.csv"
    measure = "measure", "--device", "nano", "--samples", 2, "--out", rows, "--space"
    done = nas(*measure, trained)
    search = f"nas search --device nano --supernet {trained} --measurements {rows}"
    assert done.err.splitlines()[-1] == f"next: {search}"
    assert done.err.count("next:") == 1
    (bare := tmp_path / "bare").mkdir()  # not evaluated
    shutil.copy(trained / "weights.safetensors", bare)
    done = nas(*measure, bare)
    evaluate = f"next: nas supernet evaluate {bare} --data IMAGES"
    search = search.replace(str(trained), str(bare))
    assert done.err.splitlines()[-2:] == [evaluate, f"next: {search}"]


def test_many_classes_are_shown_by_both_ends(tmp_path):
    counts = {f"class{i:02}": 3 + i for i in range(30)}
    shown = nas("supernet", "data", write_classes(tmp_path, counts)).out
    assert "... 10 more" in shown
    assert "class29" in shown
    assert "class00" in shown
    assert "class15" not in shown


def test_evaluation_wants_the_classes_that_were_trained_on(trained, tmp_path):
    other = write_classes(tmp_path / "shapes", {"bars": 9, "dots": 9, "stars": 9})
    words = ("bars, dots, stars", "trained on shapes (3 classes bars, dots, rings")
    refused(nas("supernet", "evaluate", trained, "--data", other), *words)
    given = "without --data the images are scikit-learn's digits; give --data"
    refused(nas("supernet", "evaluate", trained), given, "on: shapes (3 classes bars")
    file = trained / "weights.safetensors"
    refused(nas("supernet", "info", file), f"is a file of a supernet; give its folder, {trained}")
    search = ("search", "--device", "xavier-nx", "--supernet", trained, "--data", other)
    refused(nas(*search, "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_evaluation_refuses_a_new_draw_of_the_splits(shapes, trained, tmp_path):
    moved = shutil.copytree(shapes, tmp_path / "elsewhere")
    shutil.copy(moved / "dots" / "0.png", moved / "dots" / "new.png")
    refused(
        nas("supernet", "evaluate", trained, "--data", moved),
        "39 train + 5 validation + 5 test images, training had 38 train",
        "restore the folder",
    )


def test_evaluation_prepares_images_as_training_did(shapes, trained, tmp_path):
    from nas.zoo.folder import matching_dataset

    metadata = json.loads(nas("supernet", "info", trained, "--json").out)
    described = {**metadata["data"], "mean": [0.1, 0.2, 0.3], "resolution": 24}
    moved = shutil.copytree(shapes, tmp_path / "elsewhere")
    data = matching_dataset({**metadata, "data": described}, moved)
    assert (data.mean, data.resolution, data.name) == ((0.1, 0.2, 0.3), 24, "elsewhere")


def test_a_checkpoint_that_does_not_describe_its_images_goes_by_their_name(shapes):
    from nas.zoo.folder import matching_dataset

    assert matching_dataset({"dataset": "digits"}, None).name == "digits"
    with pytest.raises(InputError, match="`data` holds shapes, the supernet was trained on digits"):
        matching_dataset({"dataset": "digits"}, shapes)
    described = {"data": {**matching_dataset({"dataset": "digits"}, None).describe()}}
    with pytest.raises(InputError, match="`data` holds digits, the supernet was trained on mnist"):
        matching_dataset({"data": {**described["data"], "name": "mnist"}}, None)


def test_damaged_images_end_in_one_line(shapes, tmp_path):
    damaged = Path(shutil.copytree(shapes, tmp_path / "shapes"))
    (damaged / "bars" / "1.png").write_bytes(b"torn")
    for command in ("data", "train"):
        words = [damaged] if command == "data" else ["--data", damaged, "--out", tmp_path / "net"]
        refused(nas("supernet", command, *words), "1 of 48 images cannot be read", "bars/1.png")
    refused(nas("supernet", "data", tmp_path / "none"), "no folder")
    assert not (tmp_path / "net").exists()


# ---- going on from weights that are there --------------------------------------------------------


def test_exits_are_trained_on_a_trunk_that_keeps_every_bit(shapes, trained, tmp_path):
    import torch

    from supernets import load_supernet

    train = "supernet train --epochs 2 --exits-only --set ema_decay=0 --threads 1 --quiet"
    done = nas(*train.split(), "--start", trained, "--data", shapes, "--out", tmp_path / "net")
    assert done.code == 0, done.err
    before, described = load_supernet(trained / "weights.safetensors")
    after, metadata = load_supernet(tmp_path / "net" / "weights.safetensors")
    assert metadata["data"]["mean"] == described["data"]["mean"]
    assert metadata["settings"]["exits_only"]
    assert metadata["settings"]["ema_decay"] == 0.0
    x = torch.randn(2, 3, 16, 16)
    subnet = before.space.subnet(before.space.largest)
    with torch.no_grad():
        old, new = before(x, subnet), after(x, subnet)
    assert torch.equal(old[-1], new[-1])
    assert not torch.equal(old[0], new[0])


def test_weights_for_other_classes_cannot_be_gone_on_from(shapes, tmp_path):
    train = ("supernet", "train", "--data", shapes, "--out", tmp_path / "net")
    done = nas(*train, "--start", "resnet-cifar10")
    refused(done, "resnet-cifar10 tells 10 classes apart, --data has 3")
    assert not (tmp_path / "net").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("depth=2", "no training setting 'depth'; there are epochs, batch_size, lr"),
        ("epochs=many", "epochs takes a value of type int, got 'many'"),
        ("sandwich=1", "sandwich takes a value of type bool, got '1'"),
        ("distil=mse", "`distil` must be kl, alpha or labels, got 'mse'"),
    ],
)
def test_a_wrong_setting_is_named(shapes, tmp_path, setting, message):
    train = ("supernet", "train", "--data", shapes, "--out", tmp_path / "net")
    refused(nas(*train, "--set", setting), message)
