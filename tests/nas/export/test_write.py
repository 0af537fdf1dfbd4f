"""Exported folders answer as the supernet does, and nothing half-checked is ever left behind."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas.onnx.graph import OPSET, segment_model
from nas.pareto import ParetoTable, read_pareto
from nas.runtime import Engine, Manifest, ManifestError, read_manifest
from nas.start.main import main
from search_spaces import Space, resnet_cifar, resnet_digits
from supernets import Supernet, extract, load_dataset
from supernets.elastic import ElasticLinear
from tests.nas.conftest import Digits, Result, nas
from tests.supernets.once_for_all import MOBILE, RESNET, supernet

# ---- graphs --------------------------------------------------------------------------------------

SPACES: dict[str, Space] = {
    "digits": resnet_digits(),
    "cifar": resnet_cifar(),
    "mobilenetv3": MOBILE,
    "resnet50": RESNET,
}


@cache
def network(name: str) -> Supernet:
    return supernet(SPACES[name])


def outputs(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x})


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), early=st.integers(0, 1), n=st.integers(1, 3))
def test_segments_compute_what_the_network_computes(
    name: str, half: bool, seed: int, early: int, n: int
) -> None:
    """Any family, subnet, exits and batch size; the graphs have no `If` and read as opset 13."""
    net = network(name)
    subnet = net.space.subnet(net.space.sample(1, np.random.default_rng(seed)))
    static = extract(net, subnet, heads=[early, net.space.n_exits]).fold()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *net.space.input_shape(subnet), generator=generator)
    with torch.inference_mode():
        wanted = static(x)
    value, features = torch.zeros(1, *x.shape[1:]), x.numpy()
    for i, segment in enumerate(static.segments):
        last = i == len(static.segments) - 1
        model, value = segment_model(segment, value, last=last, half=half)
        assert not {node.op_type for node in model.graph.node} & {"If", "BatchNormalization"}
        assert [o.version for o in model.opset_import] == [OPSET]
        *rest, logits = outputs(model, features)
        scale = max(1.0, float(wanted[i].abs().max()))
        assert np.abs(logits - wanted[i].numpy()).max() < (5e-2 if half else 1e-4) * scale
        assert logits.dtype == np.float32
        assert len(rest) == (not last)
        features = rest[0] if rest else features


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def run(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search on the digits supernet; every level has points with early exits."""
    out = tmp_path_factory.mktemp("search") / "run"
    found = nas(
        *("search", "--device", "nano", "--supernet", digits.supernet, "--proxy", digits.rows),
        *("--trials", 60, "--out", out, "--quiet"),
    )
    assert found.code == 0, found.err
    return out


@pytest.fixture(scope="session")
def cache(run: Path, digits: Digits) -> Path:
    out = run / "bn.safetensors"
    assert (
        nas(
            *("supernet", "calibrate", digits.supernet, "--pareto", run / "pareto.json"),
            *("--data", "digits", "--out", out, "--quiet"),
        ).code
        == 0
    )
    return out


def export(run: Path, digits: Digits, out: Path, *more: object) -> Result:
    common = "--pareto", run / "pareto.json", "--supernet", digits.supernet, "--out", out
    return nas("export", *common, *more)


@pytest.fixture(scope="session")
def board(run: Path, digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """The whole front, exported with real images."""
    out = tmp_path_factory.mktemp("export") / "board"
    found = export(run, digits, out, "--data", "digits")
    assert found.code == 0, found.err
    assert "decisions equal" in found.err
    return read_manifest(str(out))


def test_the_front_is_exported_with_its_figures(board: Manifest, run: Path) -> None:
    table = read_pareto(run / "pareto.json")
    assert board.ids == table.content["front"]
    points = {p["id"]: p for p in table.points}
    for configuration in board.content["configurations"]:
        point = points[configuration["id"]]
        for key in ("level", "latency_ms", "latency_source", "energy_mj", "top1_error_pct"):
            assert configuration[key] == point[key]
        network = board.content["networks"][configuration["network"]]
        assert network["subnet"] == point["subnet"]
        assert network["exits"] == [*point["exits"]["after"], 3]
    assert board.content["supernet"] == table.content["supernet"]
    assert board.content["levels"] == table.levels


def test_equal_networks_share_their_files(board: Manifest) -> None:
    networks = board.content["networks"].values()
    assert len({(n["subnet"], tuple(n["exits"])) for n in networks}) == len(networks)
    graphs = [name for name in board.content["files"] if name.endswith(".onnx")]
    assert sum(len(n["segments"]) for n in networks) == len(graphs)
    assert len(networks) < len(board.ids)


def test_the_check_ran_on_real_images(board: Manifest) -> None:
    checked = board.content["verified"]
    assert checked["images"] == "digits validation"
    assert checked["equal_decisions"] == checked["decisions"] == 256 * len(board.ids)
    assert checked["max_logit_difference"] < 1e-4
    assert checked["source"] == "measured"


def test_the_board_is_as_accurate_as_the_table_says(board: Manifest) -> None:
    """All validation images, raw pixels in, through every exported configuration."""
    data = load_dataset(None).validation
    engine = Engine(board)
    x = board.normalise(data.images.numpy())
    for configuration in board.content["configurations"]:
        answers = engine(configuration["id"], x)
        error = 100 * float((answers.classes != data.labels.numpy()).mean())
        if configuration["error_source"] == "measured":
            assert error == pytest.approx(configuration["top1_error_pct"], abs=1.0)
            rates = [float((answers.exits == k).mean()) for k in range(4)]
            assert rates == pytest.approx(configuration["exit_rates"], abs=0.02)


def test_the_engine_stops_and_only_loads_what_it_runs(board: Manifest) -> None:
    early = [c for c in board.content["configurations"] if c["after"]]
    assert early
    chosen = early[0]
    chosen["thresholds"], kept = [0.0] * len(chosen["after"]), chosen["thresholds"]
    engine = Engine(board)
    answers = engine(chosen["id"], np.zeros((5, 1, 8, 8), np.float32))
    chosen["thresholds"] = kept
    assert set(answers.exits) == {chosen["after"][0]}
    assert engine.sessions.files == board.network(chosen["id"])["segments"][:1]


def test_a_cache_of_statistics_replaces_the_images(
    run: Path, digits: Digits, cache: Path, board: Manifest, tmp_path: Path
) -> None:
    found = export(run, digits, tmp_path / "b", "--bn-cache", cache, "--id", board.ids[0])
    assert found.code == 0, found.err
    assert "(noise)" in found.err
    mine, theirs = Engine(read_manifest(str(tmp_path / "b"))), Engine(board)
    data = load_dataset(None).validation
    x = board.normalise(data.images.numpy())
    a, b = mine(board.ids[0], x), theirs(board.ids[0], x)
    assert (a.classes == b.classes).mean() > 0.97  # statistics are kept in half precision


def test_half_precision_halves_the_files(
    run: Path, digits: Digits, board: Manifest, tmp_path: Path
) -> None:
    out = tmp_path / "half"
    id_ = board.ids[0]
    more = "--data", "digits", "--fp16", "--standalone", "--id", id_, "--json"
    found = export(run, digits, out, *more)
    assert found.code == 0, found.err
    content = json.loads(found.out)
    assert content["precision"] == "fp16"
    assert content["verified"]["max_logit_difference"] < 5e-2
    half = sum(f["bytes"] for name, f in content["files"].items() if name.endswith(".onnx"))
    whole = sum(board.content["files"][f]["weight_bytes"] for f in board.network(id_)["segments"])
    assert half < 0.7 * whole
    text = (out / "README.md").read_text()
    assert "--fp16" in text
    graphs = {name: d for name, d in content["files"].items() if name.endswith(".onnx")}
    for name, described in graphs.items():
        sides = "x".join(map(str, described["input"]))
        assert f"trtexec --onnx={name} " in text
        assert f"--maxShapes=input:8x{sides}" in text


# ---- one set of weights ------------------------------------------------------------------------


def test_a_folder_holds_the_weights_once(board: Manifest) -> None:
    content, folder = board.content, Path(board.folder)
    weights = folder / content["shared"]["weights"]
    assert content["files"][weights.name]["sha256"] == content["supernet"]["sha256"]
    assert len(content["networks"]) > 5
    for network in content["networks"].values():
        for file in network["segments"]:
            assert content["files"][file]["bytes"] < 6000
            for weight in onnx.load(folder / file, load_external_data=False).graph.initializer:
                assert weight.data_location == onnx.TensorProto.EXTERNAL


def test_answers_are_those_of_the_standalone_export(
    run: Path, digits: Digits, board: Manifest, tmp_path: Path
) -> None:
    id_ = next(c["id"] for c in board.content["configurations"] if c["after"])
    common = "--data", "digits", "--standalone", "--id", id_
    assert export(run, digits, tmp_path / "b", *common).code == 0
    alone = read_manifest(str(tmp_path / "b"))
    assert "shared" not in alone.content
    x = np.random.default_rng(0).standard_normal((9, 1, 8, 8)).astype(np.float32)
    mine = Engine(board).logits(board.configuration(id_)["network"], x)
    theirs = Engine(alone).logits("net00", x)
    for a, b in zip(mine, theirs, strict=True):
        assert np.abs(a - b).max() <= 1e-6 * np.abs(b).max()


def test_little_memory_changes_no_answer(board: Manifest) -> None:
    plenty, little = Engine(board), Engine(board, memory_mb=0.2)
    x = np.random.default_rng(0).standard_normal((3, 1, 8, 8)).astype(np.float32)
    for id_ in board.ids[:12]:
        little.foresee(board.ids)
        np.testing.assert_array_equal(little(id_, x).confidence, plenty(id_, x).confidence)
    little.sessions.settle()
    assert len(little.sessions.files) < len(plenty.sessions.files)
    with pytest.raises(ManifestError, match="`memory_mb` must be positive, got 0"):
        Engine(board, memory_mb=0)


def test_a_layer_without_slices_has_its_weights_inside(
    run: Path, digits: Digits, board: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(ElasticLinear, "slices")  # as a layer of one's own
    found = export(run, digits, tmp_path / "b", "--data", "digits", "--id", board.ids[0])
    assert found.code == 0, found.err
    assert "networks keep weights of their own: a layer of type ElasticLinear has no" in found.err
    assert "shared" not in read_manifest(str(tmp_path / "b")).content


@pytest.mark.parametrize("file", ["weights", "statistics", "slices"])
def test_a_damaged_file_is_refused(board: Manifest, tmp_path: Path, file: str) -> None:
    shutil.copytree(board.folder, tmp_path / "b")
    path = tmp_path / "b" / board.content["shared"][file]  # type: ignore[literal-required]
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(ManifestError, match=f"{path.name} was changed since it was exported"):
        read_manifest(str(tmp_path / "b"))
    path.unlink()
    with pytest.raises(ManifestError, match=f"{path.name} is missing; copy the whole"):
        read_manifest(str(tmp_path / "b"))


ALONE = """
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(name + " is not on the board")

sys.meta_path.insert(0, Blocked())
sys.argv = {arguments}
runpy.run_path(sys.argv[0], run_name="__main__")
assert sys.modules["nas"].__file__.startswith(sys.argv[0])
"""


def test_the_folder_answers_an_image_alone(board: Manifest, tmp_path: Path) -> None:
    """Copied elsewhere, started where nothing else of the project and no torch can be imported."""
    folder = shutil.copytree(board.folder, tmp_path / "copied")
    data = load_dataset(None).validation
    for i in range(3):
        np.save(tmp_path / f"{i}.npy", data.images[i].permute(1, 2, 0).numpy())
    names = [str(tmp_path / f"{i}.npy") for i in range(3)]
    arguments = [str(folder / "run.pyz"), "classify", *names, "--json"]
    blocked = {"supernets", "predictors", "search_spaces", "torch", "onnx", "PIL", "pydantic"}
    script = ALONE.replace("{blocked}", repr(blocked)).replace("{arguments}", repr(arguments))
    command = [sys.executable, "-I", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = Engine(board)(rows[0]["configuration"], board.normalise(data.images[:3].numpy()))
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


# ---- int8 ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(
    run: Path, digits: Digits, board: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Manifest:
    """A point with early exits in int8."""
    id_ = max(board.content["configurations"], key=lambda c: (len(c["after"]), c["macs"]))["id"]
    out = tmp_path_factory.mktemp("int8") / "board"
    found = export(run, digits, out, "--data", "digits", "--precision", "int8", "--id", id_)
    assert found.code == 0, found.err
    assert re.search(r"int8 answers [\d.]+ % wrongly and fp32 [\d.]+ %", found.err)
    assert "those of fp16: a search with `--precision int8`" in found.err
    return read_manifest(str(out))


def test_int8_says_what_its_engine_does_on_the_test_images(small: Manifest) -> None:
    (own,) = small.content["configurations"]
    test = load_dataset(None).test
    answers = Engine(small)(own["id"], small.normalise(test.images.numpy()))
    wrong = 100 * (answers.classes != test.labels.numpy()).mean()
    assert own["top1_error_pct"] == pytest.approx(wrong, abs=0.34)  # one image of 300
    rates = [(answers.exits == k).mean() for k in range(len(own["exit_rates"]))]
    assert own["exit_rates"] == pytest.approx(rates, abs=0.011)
    assert (small.content["precision"], own["error_source"]) == ("int8", "measured")
    checked = small.content["verified"]
    assert (checked["images"], checked["n_images"]) == ("digits test", 300)
    assert abs(checked["top1_error_pct"] - checked["fp32_top1_error_pct"]) < 3


def test_as_many_images_leave_an_int8_network_at_every_exit(
    small: Manifest, board: Manifest
) -> None:
    """On the validation images that its thresholds were fitted on."""
    (own,) = small.content["configurations"]
    assert own["after"]
    images = small.normalise(load_dataset(None).validation.images.numpy())
    found, wanted = (Engine(m)(own["id"], images).exits for m in (small, board))
    for exit_ in (*own["after"], 3):
        assert (found == exit_).sum() == pytest.approx((wanted == exit_).sum(), abs=2)
    assert own["thresholds"] != board.configuration(own["id"])["thresholds"]


def test_int8_segments_hold_whole_numbers(small: Manifest) -> None:
    for file in small.network(small.ids[0])["segments"]:
        model = onnx.load(Path(small.folder) / file)
        weights = [w for w in model.graph.initializer if len(w.dims) == 4]
        assert weights
        assert {w.data_type for w in weights} == {onnx.TensorProto.INT8}
    assert "shared" not in small.content


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("--bn-cache", "CACHE"), "int8 takes its ranges and thresholds from images: give --data"),
        (("--data", "digits", "--traces"), "--traces are of float networks: export them without"),
        (
            ("--data", "digits", "--precision", "int4"),
            "--precision must be one of fp32, fp16, int8",
        ),
    ],
)
def test_what_int8_needs(
    asked: tuple[str, ...], message: str, run: Path, digits: Digits, cache: Path, tmp_path: Path
) -> None:
    asked = tuple(str(cache) if part == "CACHE" else part for part in asked)
    front = ("--id", read_pareto(run / "pareto.json").content["front"][0])
    found = export(run, digits, tmp_path / "b", "--precision", "int8", *front, *asked)
    assert found.code == 1
    assert message in found.err
    assert not (tmp_path / "b").exists()


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
    found = export(run, digits, tmp_path / "b", "--data", "digits")
    assert found.code == 1
    assert "exists already; choose another --out" in found.err
    assert (tmp_path / "b" / "mine.txt").read_text() == "mine"


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
