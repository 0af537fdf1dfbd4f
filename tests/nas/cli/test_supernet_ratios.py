"""All-in-One on the command line: trained, evaluated, mapped to clocks, searched, exported, run."""

import json
import re

import numpy as np
import pytest

from nas.cli.output import console
from nas.cli.supernet_ratios import asked_ratios
from nas.pareto import read_pareto
from nas.runtime import Engine, read_manifest
from search_spaces import InputError, get_space, resnet_cifar
from tests.nas.cli.test_app import refused
from tests.nas.conftest import nas
from tests.supernets.pictures import write_classes


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """48 pictures of three classes."""
    return write_classes(tmp_path_factory.mktemp("images") / "shapes")


def training(shapes, out, *more):
    words = [
        "supernet",
        "train",
        "--kind",
        "all-in-one",
        "--epochs",
        "2",
        "--batch-size",
        "16",
        "--threads",
        "1",
    ]
    return nas(*words, "--data", shapes, "--out", out, *more)


@pytest.fixture(scope="module")
def trained(shapes, tmp_path_factory):
    """Three ratios, evaluated."""
    out = tmp_path_factory.mktemp("ratios") / "net"
    done = training(shapes, out, "--ratios", "1,.5,.2")
    assert done.code == 0, done.err
    done = nas("supernet", "evaluate", out, "--data", shapes)
    assert done.code == 0, done.err
    return out


def test_ratios_are_searched_exported_and_run_like_any_subnet(shapes, trained, tmp_path):
    run, board = tmp_path / "run", tmp_path / "board"
    done = nas("search", "--supernet", trained, "--device", "xavier-nx", "--out", run)
    assert done.code == 0, done.err
    table = read_pareto(run / "pareto.json")
    space = get_space(table.content["space"])
    assert space.gene_names == ("ratio0",)
    assert {p["subnet"] for p in table.points} <= {"r200", "r500", "r1000"}
    done = nas("export", "--pareto", run / "pareto.json", "--supernet", trained,
               "--data", shapes, "--out", board)  # fmt: skip
    assert done.code == 0, done.err
    manifest = read_manifest(board)
    engine = Engine(manifest)
    images = np.zeros((2, 3, 16, 16), dtype=np.uint8)
    assert all(len(engine(i, manifest.normalise(images)).classes) == 2 for i in manifest.ids)
    assert "shared" in json.loads((board / "manifest.json").read_text())  # the weights stand once


def test_every_clock_gets_a_ratio(trained):
    command = ("supernet", "map", trained, "--device", "xavier-nx", "--frames", 16)
    found = json.loads(nas(*command, "--json").out)
    assert [row["level"] for row in found["levels"]] == list(range(2, 15))
    assert found["levels"][-1]["ratio"] == 1
    assert [row["n_ratios"] for row in found["by_number_of_ratios"]] == [1, 2, 3]
    cv = [row["cv"] for row in found["by_number_of_ratios"]]
    assert cv == sorted(cv, reverse=True)
    shown = nas(*command, "--levels", "0,14").out
    for words in ("xavier-nx, simulated; target", "variance less", "ln(s) / (3.46 (K - 1))"):
        assert words in " ".join(shown.split())


def asked(ratios=None, device=None, *, levels="1/4..top", n_ratios=3, frames=16, base=None):
    log = console(quiet=True)
    return asked_ratios(base or resnet_cifar(), ratios, device, levels, n_ratios, frames, log)


def test_ratios_are_given_or_chosen_for_a_device():
    assert asked() == (1, 0.7, 0.5, 0.35, 0.2)
    assert asked("1,.3") == (1, 0.3)
    three, five = asked(device="xavier-nx"), asked(device="xavier-nx", n_ratios=5)
    assert (len(three), len(five)) == (3, 5)
    assert three[0] == five[0] == 1
    assert list(five) == sorted(five, reverse=True)
    assert min(five) < min(asked(device="xavier-nx", levels="1/2..top"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ratios": "1,half"}, "`ratios` takes numbers like 1,.7,.5,.35,.2, got '1,half'"),
        ({"ratios": "1,.5", "device": "tx2"}, "`ratios` are given, or chosen by `for_device`"),
        ({"device": "tx2", "levels": "99"}, "`levels`: no level 99; there are 0 to 12"),
        ({"device": "host"}, "host has no model of its latency"),
        ({"device": "tx2", "n_ratios": 0}, "`n_ratios` must be at least 1, got 0"),
        ({"base": get_space("ofa-resnet50")}, "`kind` all-in-one prunes ResNets of basic blocks"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, words):
    with pytest.raises(InputError, match=re.escape(words)):
        asked(**given)


def test_refusals_name_the_options(shapes, trained, tmp_path):
    refused(training(shapes, tmp_path / "net", "--ratios", "1,.5,.5"), "--ratios has 0.5 twice")
    other = training(shapes, trained, "--kind", "elastic")
    refused(other, "holds a supernet of kind all-in-one, --kind asks for elastic")
    start = training(shapes, tmp_path / "net", "--start", trained)
    refused(start, "is a supernet of kind all-in-one; start from one of kind elastic")
    dense = nas("supernet", "map", "supernets/zoo/resnet-cifar10", "--device", "tx2")
    refused(dense, "holds no ratios; `nas supernet train --kind all-in-one` does")
