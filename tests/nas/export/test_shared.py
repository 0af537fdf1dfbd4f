"""One set of weights for all networks: every graph gets the weights that it would hold itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from nas.export.plan import Export, Network
from nas.export.shared import NAMES, _entry, write_shared
from nas.onnx.graph import segment_model
from nas.runtime import ManifestError
from nas.runtime.weights import SharedWeights
from search_spaces import GroupSpace, Subnet, resnet_digits
from supernets import Segment, Slice, Supernet, calibrate, extract, save_supernet, slices
from tests.supernets.once_for_all import MOBILE, RESNET, supernet

SUPERNETS = {"digits": supernet(resnet_digits()), "mobile": supernet(MOBILE)}
SUPERNETS["resnet50"] = supernet(RESNET)


def exported(net: Supernet, subnets: list[Subnet], folder: Path) -> Export:
    """What an export of `subnets` with two exits each shares."""
    save_supernet(net, folder / "own.safetensors")
    described = cast(Any, {"sha256": "0"})
    made = Export(cast(Any, None), described, None, None, weights=folder / "own.safetensors")
    for i, subnet in enumerate(subnets):
        heads, shape = [i % 2, net.space.n_exits], net.space.input_shape(subnet)
        heads = heads if net.space.n_exits else [0]
        torch.manual_seed(0)  # the same images for all
        made.batch_norm.of[str(subnet)] = statistics = calibrate(
            net, subnet, torch.randn(4, *shape)
        )
        plain = extract(net, subnet, heads=heads, statistics=statistics).fold()
        parts = slices(net, subnet, heads)
        made.networks[f"n{i}"] = Network(f"n{i}", str(subnet), plain, [1.0, 1.0], shape, parts)
    return made


@pytest.mark.parametrize("name", SUPERNETS)
def test_every_family_is_cut_as_it_is_extracted(name: str, tmp_path: Path) -> None:
    """Widths, depths, kernels made smaller, squeeze-excite, folded norms, heads: three subnets."""
    net = SUPERNETS[name]
    genes = [*net.space.sample(2, np.random.default_rng(0)), net.space.largest[0]]
    made = exported(net, [net.space.subnet(row) for row in genes], tmp_path)
    shared = SharedWeights(str(tmp_path), write_shared(made, tmp_path))
    for network in made.networks.values():
        value = torch.zeros(1, *network.input_shape)
        for i, segment in enumerate(network.net.segments):
            model, value = segment_model(cast(Segment, segment), value, last=i == 1, half=False)
            wanted = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
            found = shared.of(f"{network.name}-{i}.onnx", network.subnet)
            assert list(found) == list(wanted)
            for key, array in wanted.items():
                # rounded as the largest weight is: a smaller kernel is a sum over the larger one's
                close = 2e-7 * max(1.0, float(np.abs(array).max()))
                np.testing.assert_allclose(found[key], array, rtol=2e-6, atol=close)
    through = [s for n in made.networks.values() for parts in n.slices or [] for s in parts]
    assert any(part.through for part in through) == (name == "mobile")


def test_all_configurations_of_groups_are_little_larger_than_the_largest(tmp_path: Path) -> None:
    """Weights and statistics stand once; what is left is a graph without weights for each."""
    space = GroupSpace.of("alexnet", 4)
    net, sizes = supernet(space), {}
    for name, genes in (("largest", space.largest), ("all", space.enumerate())):
        folder = tmp_path / name
        folder.mkdir()
        made = exported(net, space.subnets(genes), folder)
        shared = SharedWeights(str(folder), write_shared(made, folder))
        sizes[name] = sum((folder / file).stat().st_size for file in NAMES.values())
        for network in made.networks.values():
            (segment,) = network.net.segments
            found = shared.of(f"{network.name}-0.onnx", network.subnet).values()
            for array, wanted in zip(found, segment.parameters(), strict=True):
                np.testing.assert_allclose(array, wanted.detach(), rtol=2e-6, atol=2e-7)
    assert shared.inside == {"g1": "g4", "g2": "g4", "g3": "g4"}
    assert sizes["all"] <= 1.003 * sizes["largest"]


def test_listed_channels_are_cut_too(tmp_path: Path) -> None:
    """What a pruned network keeps need not be the first channels."""
    weight, kept = torch.randn(5, 4, 3, 3), torch.tensor([4, 0, 2])
    entry = _entry(Slice("conv.weight", (kept, 2)), {})
    shared = object.__new__(SharedWeights)
    shared.tensors = {"conv.weight": weight.numpy()}
    found = shared._weight(json.loads(json.dumps(entry)), None, None)
    np.testing.assert_array_equal(found, weight[kept][:, :2].numpy())


def test_a_slice_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    net = SUPERNETS["digits"]
    subnet = net.space.subnet(net.space.smallest[0])
    shared = SharedWeights(str(tmp_path), write_shared(exported(net, [subnet], tmp_path), tmp_path))
    first = next(iter(shared.graphs))
    shared.graphs[first]["weight0"]["picks"][0] = 10_000
    with pytest.raises(ManifestError, match=r"cannot be cut.*copy the whole exported folder"):
        shared.of(first, str(subnet))
    (tmp_path / "slices.json").write_text('{"schema": "nas.slices/7"}')
    plain: Any = {**NAMES, "slices": "slices.json"}  # as earlier versions wrote it
    with pytest.raises(ManifestError, match=r"its schema is 'nas\.slices/7', expected"):
        SharedWeights(str(tmp_path), plain)
    with (tmp_path / NAMES["slices"]).open("r+b") as file:
        file.seek(60)
        file.write(bytes(40))
    with pytest.raises(ManifestError, match=r"slices\.json\.gz is no readable list of slices"):
        SharedWeights(str(tmp_path), NAMES)
    (tmp_path / "weights.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ManifestError, match=r"weights\.safetensors is no readable file of tensors"):
        SharedWeights(str(tmp_path), NAMES)
