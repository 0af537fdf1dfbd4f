"""A table of once-for-all's blocks, measured here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from nas.devices.host import HostDevice
from nas.devices.ofa_blocks import block_network
from nas.measure import Job
from nas.measure.ofa_table import covering_subnets, write_table
from predictors import LutPredictor, ofa_keys, read_ofa_lut
from search_spaces import MobileNetV3Space, get_space
from supernets import SqueezeExcite, build_supernet, extract
from tests.nas.conftest import nas


@torch.inference_mode()
def test_blocks_of_once_for_all_add_up_to_the_network() -> None:
    """Each part is what its key says, and the parts in a row compute the whole subnet."""
    space = MobileNetV3Space(n_classes=10, resolutions=(32, 48))
    net = build_supernet(space).eval()
    subnets = [*covering_subnets(space, 32), space.subnet(space.smallest)]
    keys = {key for subnet in subnets[:-1] for key in ofa_keys(space, subnet)}
    for genes in space.sample(20, np.random.default_rng(0)):
        if genes[-1] == 32:
            assert set(ofa_keys(space, space.subnet(genes))) <= keys
    for subnet in subnets[-2:]:
        static = extract(net, subnet).fold()
        image = torch.randn(2, *space.input_shape(subnet))
        listed, n_weights = ofa_keys(space, subnet), 0
        for index, key in enumerate(listed):
            part, x = block_network(static, image, index)
            y = part(x)
            n_weights += sum(p.numel() for p in part.parameters())
            if "AvgPool2D" not in key and "1x1x" not in key:
                sides = f"input:{x.shape[2]}x{x.shape[3]}x{x.shape[1]}"
                assert f"{sides}-output:{y.shape[2]}x{y.shape[3]}x{y.shape[1]}" in key
            if "-se:" in key:
                squeezes = any(isinstance(m, SqueezeExcite) for m in part.modules())
                hard_swish = any(isinstance(m, torch.nn.Hardswish) for m in part.modules())
                assert f"-se:{squeezes:d}-hs:{hard_swish:d}" in key
        torch.testing.assert_close(y, static(image)[-1])
        assert n_weights == sum(p.numel() for p in static.parameters())


def test_calls_of_another_backend_are_not_counted(tmp_path: Path) -> None:
    key = "Conv-input:128x128x3-output:64x64x16"
    same = {"operator": key, "device": "host", "precision": "fp32", "batch": "1", "threads": "1"}
    rows = [
        same | {"backend": backend, "latency_ms": ms, "n_runs": n}
        for backend, ms, n in (("pytorch", "1", "100"), ("pytorch", "3", "120"), ("x", "9", "7"))
    ]
    path = tmp_path / "128_lookup_table.yaml"
    write_table(path, [Job({"operator": key}, dict)], rows, HostDevice())
    assert read_ofa_lut(path) == {128: {key: {"mean": 2.0, "count": 220}}}


@pytest.mark.slow
def test_a_table_of_once_for_all_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "lut" / "128_lookup_table.yaml"
    command = ("measure", "--device", "host", "--space", "ofa-mobilenetv3", "--ofa-lut", path)
    command += ("--backend", "onnxruntime", "--seconds", 0.01, "--out", tmp_path / "rows.csv")
    done = nas(*command)
    assert done.code == 0, done.err
    (table,) = read_ofa_lut(path).values()
    space = get_space("ofa-mobilenetv3")
    genes = space.sample(5, np.random.default_rng(0))
    genes[:, -1] = 128
    lut = LutPredictor({key: entry["mean"] for key, entry in table.items()})
    assert (lut.sums([ofa_keys(space, subnet) for subnet in space.subnets(genes)]) > 0.5).all()


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        ("resnet-digits", "224_lookup_table.yaml", "needs a space ofa-mobilenetv3 without exits"),
        ("ofa-mobilenetv3", "table.yaml", "must be named like 224_lookup_table.yaml"),
        (
            "ofa-mobilenetv3",
            "99_lookup_table.yaml",
            "resolution of ofa-mobilenetv3, got 99_",
        ),
    ],
)
def test_a_table_is_named_by_its_resolution(
    tmp_path: Path, space: str, name: str, message: str
) -> None:
    options = ("--device", "host", "--space", space, "--samples", 1, "--out", tmp_path / "rows.csv")
    done = nas("measure", *options, "--ofa-lut", tmp_path / name)
    assert done.code == 1
    assert message in done.err
