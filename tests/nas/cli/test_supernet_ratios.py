"""All-in-One on the command line: trained, evaluated, mapped to clocks, searched, exported, run."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import api
from nas.cli.constant_latency import constant_latency_line
from nas.cli.output import console
from nas.cli.supernet_ratios import asked_ratios, check_asked
from nas.pareto import read_pareto
from nas.runtime import Engine, read_manifest
from search_spaces import InputError, get_space, resnet_cifar, resnet_for
from supernets import read_tensors, write_tensors
from tests.nas.cli.test_app import refused
from tests.nas.conftest import nas

ROOT = Path(__file__).parents[3]


def words(name):
    """The command of docs/all_in_one.md that begins with `name`, trained for a few steps."""
    text = (ROOT / "docs" / "all_in_one.md").read_text()
    example = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)[0]
    line = next(line for line in example.splitlines() if line.startswith(f"nas {name}"))
    line = line.replace("--epochs 12", "--epochs 2 --batch-size 1024 --threads 1")
    return shlex.split(line.replace("1,.7,.5,.35,.2", "1,.5,.2"))[1:]


def run(name, *more):
    done = nas(*words(name), *more)
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="module", autouse=True)
def trained(tmp_path_factory):
    """The document's supernet, evaluated, in the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("ratios"))
        run("supernet train")
        run("supernet evaluate")
        yield Path("clocks")


def test_the_document_leads_to_an_engine_on_the_board():
    said = " ".join(run("search").out.split())
    table = read_pareto(Path("run/pareto.json"))
    held = table.content["constant_latency"]
    assert held["levels"] == list(range(held["levels"][0], 10))
    cv = [row["cv"] for row in held["by_number_of_ratios"]]
    assert cv == sorted(cv, reverse=True)
    assert f"the target is {held['target_ms']:.3f} ms, ratio 1 at the fastest of them" in said
    fewer = [held["by_number_of_ratios"][0] | {"ratios": [0.8]}]  # trained with --ratios .8,.5
    assert "ms, ratio 0.8 at" in constant_latency_line(held | {"by_number_of_ratios": fewer})
    assert all(f"{x:.3f}" in said for x in cv)
    assert "One latency at every clock" in Path("run/report.html").read_text()
    assert get_space(table.content["space"]).gene_names == ("ratio0",)
    assert {p["subnet"] for p in table.points} <= {"r200", "r500", "r1000"}
    calibrate = "supernet", "calibrate", "clocks", "--pareto", "run/pareto.json", "--out"
    refused(nas(*calibrate, "clocks"), "clocks is a folder; name a file in it")  # nothing measured
    steps = nas(*calibrate, "bn.safetensors").err.splitlines()
    assert steps[-1].startswith("next: nas export --pareto run/pareto.json --supernet clocks")
    run("export")
    manifest = read_manifest(Path("board"))
    again = api.export(Path("run/pareto.json"), "again", supernet="clocks", one_latency=True)
    assert again.content["configurations"] == manifest.content["configurations"]
    engine = Engine(manifest)
    images = np.zeros((2, 1, 8, 8), dtype=np.uint8)
    assert all(len(engine(i, manifest.normalise(images)).classes) == 2 for i in manifest.ids)
    assert "shared" in manifest.content  # the weights stand once
    levels = json.loads(run("supernet map", "--json").out)["levels"]
    wanted = {level["level"]: f"r{1000 * level['ratio']:.0f}" for level in levels}
    networks, configurations = (manifest.content[x] for x in ("networks", "configurations"))
    assert {c["level"]: networks[c["network"]]["subnet"] for c in configurations} == wanted
    assert len(set(wanted.values())) > 1  # another ratio at a slow clock than at a fast one
    text = (ROOT / "docs" / "all_in_one.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)
    assert len(found["answers"].classes) == 1
    more = nas(*words("export")[:-1], "more", "--id", table.points[0]["id"])
    refused(more, "--id is for points; --one-latency chooses them")


def test_what_the_weights_hold_is_exported_as_it_would_be_measured(tmp_path):
    """Batch norm of every ratio stands in the file: no images, no statistics, the same answers."""
    run("search", "--overwrite")
    images = np.random.default_rng(0).integers(0, 255, (8, 1, 8, 8), dtype=np.uint8)
    confidence = []
    for name, more in (("stored", ()), ("measured", ("--data", "digits"))):
        assert nas(*words("export")[:-1], tmp_path / name, "--quiet", *more).code == 0
        manifest = read_manifest(tmp_path / name)
        engine, x = Engine(manifest), manifest.normalise(images)
        confidence.append([engine(i, x).confidence for i in manifest.ids])
    np.testing.assert_allclose(*confidence, atol=2e-3)


def levels_held(*more: str, device: str = "raspberry-pi-4") -> list[tuple[int, float, float]]:
    """Level, latency and error of the points of a search that hold one latency."""
    of = "--supernet", "clocks", "--device", device, "--out", "limited", "--overwrite", "--quiet"
    assert nas("search", *of, *more).code == 0
    held = json.loads(Path("limited/pareto.json").read_text()).get("constant_latency", {})
    points = held.get("points", [])
    return [(p["level"], p["latency_ms"], p["top1_error_pct"]) for p in points]


def test_one_latency_keeps_the_limits_and_the_levels_of_the_search(trained):
    free = levels_held()
    errors = sorted({error for *_, error in free})
    assert len(errors) > 1
    limit = (errors[-2] + errors[-1]) / 2
    kept = levels_held("--max-error-pct", f"{limit}")
    assert len(kept) == len(free)
    assert max(error for *_, error in kept) < limit
    said = json.loads(run("supernet map", "--max-error-pct", f"{limit}", "--json").out)
    assert max(level["top1_error_pct"] for level in said["levels"]) < limit
    refused(
        nas(*words("supernet map"), "--max-error-pct", "1e-9"),
        "--max-error-pct is 1e-09; the best ratio of",
    )
    longest = sorted(ms for _, ms, _ in free)[-1]
    shorter = levels_held("--max-worst-latency-ms", f"{longest * 0.999}")
    assert len(shorter) > 1
    assert max(ms for _, ms, _ in shorter) < longest
    assert [level for level, *_ in levels_held(device="xavier-nx")] == list(range(15))
    content = json.loads(Path("limited/pareto.json").read_text())
    assert content["constant_latency"]["levels"] == list(range(2, 15))  # from a quarter on
    assert [level for level, *_ in levels_held("--levels", "1,4", device="xavier-nx")] == [1, 4]
    assert not levels_held("--levels", "-1")
    asked = nas("export", "--pareto", "limited/pareto.json", "--one-latency", "--out", "x")
    refused(asked, "clock: fewer than two levels were searched, or have a ratio within the limits")


def test_a_table_of_no_ratios_holds_no_latency(tmp_path):
    api.search("xavier-nx", trials=20, n_points=5).write_json(tmp_path / "pareto.json")
    asked = nas("export", "--pareto", tmp_path / "pareto.json", "--one-latency", "--out", "x")
    refused(asked, "the table says of no ratios which of them hold one latency at every clock")


def test_a_ratio_that_was_not_evaluated_is_refused(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "less")
    path = folder / "accuracy.safetensors"
    tensors, about = read_tensors(path, "nas.accuracy/1")
    fewer = {name: tensor[:2] for name, tensor in tensors.items()}
    write_tensors(path, fewer, {**about, "subnets": about["subnets"][:2]})
    asked = nas("supernet", "map", folder, "--device", "raspberry-pi-4")
    refused(asked, "1 of 3 ratios of", "nas supernet evaluate")


def test_every_clock_gets_a_ratio():
    found = json.loads(run("supernet map", "--json").out)
    assert len(found["levels"]) == 10
    assert found["levels"][-1]["ratio"] == 1
    assert [row["n_ratios"] for row in found["by_number_of_ratios"]] == [1, 2, 3]
    cv = [row["cv"] for row in found["by_number_of_ratios"]]
    assert cv[-1] < 0.6 * cv[0]
    done = run("supernet map", "--levels", "0,5", "--frames", "2")
    assert done.err.splitlines()[-1].endswith("--batch 2 --out runs/clocks")
    shown = " ".join(done.out.split())
    for text in ("raspberry-pi-4, simulated; target", "variance less", "ln(s) / (3.46 (K - 1))"):
        assert text in shown


def asked(ratios=None, device=None, *, levels="1/4..top", n_ratios=3, frames=16, base=None):
    log = console(quiet=True)
    check_asked(ratios, "filter", None, device, frames, levels, n_ratios)
    return asked_ratios(base or resnet_cifar(), ratios, device, levels, n_ratios, frames, log)


def test_ratios_are_given_or_chosen_for_a_device():
    assert asked() == (1, 0.7, 0.5, 0.35, 0.2)
    assert asked("1,.3") == (1, 0.3)
    three, five = asked(device="xavier-nx"), asked(device="xavier-nx", n_ratios=5)
    assert (len(three), len(five)) == (3, 5)
    assert three[0] == five[0] == 1
    assert list(five) == sorted(five, reverse=True)
    assert asked(device="xavier-nx", levels="-1", n_ratios=1) == (1,)
    assert min(five) < min(asked(device="xavier-nx", levels="1/2..top"))


@pytest.mark.parametrize(
    ("resolution", "said"),
    [(32, "evenly spread ones leave about 0.0"), (8, "kernel starts, which no ratio shortens")],
)
def test_what_the_ratios_of_a_device_leave_is_told(resolution, said, capsys):
    """Images of 8 pixels take hardly longer at a slow clock: there is nothing to prune."""
    log, base = console(quiet=False), resnet_for(resolution, 3, 10)
    asked_ratios(base, None, "xavier-nx", "1/4..top", 5, 16, log)
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ratios": "1,half"}, "`ratios` takes numbers like 1,.7,.5,.35,.2, got '1,half'"),
        ({"ratios": "1,.7001,.7"}, "`ratios` must be whole thousandths, such as 0.125, got 0.7001"),
        ({"ratios": "1,.5,.5"}, "`ratios` has 0.5 twice; give every ratio once"),
        ({"ratios": "1,.5", "device": "tx2"}, "`ratios` are given, or chosen by `for_device`"),
        ({"device": "tx2", "levels": "99"}, "tx2 has levels 0 to 12, got `levels` 99"),
        ({"device": "host"}, "host has no model of its latency"),
        ({"device": "tx2", "n_ratios": 0}, "`n_ratios` must be at least 1, got 0"),
        ({"base": get_space("ofa-resnet50")}, "`kind` all-in-one prunes ResNets of basic blocks"),
    ],
)
def test_what_cannot_be_asked_is_refused(given, words):
    with pytest.raises(InputError, match=re.escape(words)):
        asked(**given)


def test_refusals_name_the_options(trained, tmp_path):
    train = words("supernet train")[:-1]
    refused(nas(*train, tmp_path, "--ratios", "1,.5,.5"), "--ratios has 0.5 twice")
    assert not (tmp_path / "dense").exists()  # before anything was trained
    other = nas(*train, trained, "--kind", "elastic")
    refused(other, "holds a supernet of kind all-in-one, --kind asks for elastic")
    begun = shutil.copytree(trained, tmp_path / "begun")
    (begun / "weights.safetensors").unlink()
    other = nas(*train, begun, "--kind", "elastic")
    refused(other, "begun holds a training run of kind all-in-one, --kind asks for elastic")
    masks = nas("supernet", "map", trained / "masks", "--device", "tx2")
    refused(masks, "holds masks that are being learned, no supernet yet")
    start = nas(*train, tmp_path, "--start", trained)
    refused(start, "is a supernet of kind all-in-one; start from one of kind elastic")
    dense = nas("supernet", "map", trained / "dense", "--device", "tx2")
    unknown = nas("supernet", "map", "resnet-cifar", "--device", "tx2")
    refused(unknown, "no supernet 'resnet-cifar': it is neither in the zoo (")
    refused(dense, "holds no ratios; `nas supernet train --kind all-in-one` does")


def test_units_that_cannot_be_asked_are_refused_by_the_option(tmp_path):
    train = ("supernet", "train", "--kind", "all-in-one", "--quiet", "--out", tmp_path / "x")
    for more, said in (
        (("--unit", "rows"), "--unit must be one of filter, block, pattern, got 'rows'"),
        (("--unit", "block", "--g", 7), "--g must divide the channels of every layer, got 7"),
        (("--unit", "pattern", "--g", 0), "--g must be at least 1, got 0"),
        (("--for-device", "tx"), "did you mean tx2? `nas devices` lists them all; --for-device"),
        (("--frames", 0, "--for-device", "tx2"), "--frames must be at least 1, got 0"),
        (("--unit", "block", "--for-device", "tx2"), "has no figure for blocks; give --ratios"),
        (("--for-device", "tx2", "--levels", 99), "tx2 has levels 0 to 12, got --levels 99"),
        (("--for-device", "tx2", "--n-ratios", 0), "--n-ratios must be at least 1, got 0"),
        (("--for-device", "host"), "host has no model of its latency"),
        (("--g", 8), "--g is of blocks and patterns; give --unit block or leave it out"),
    ):
        # before images are looked at
        refused(nas(*train, *more, "--data", tmp_path / "missing"), said)
    assert not (tmp_path / "x").exists()
