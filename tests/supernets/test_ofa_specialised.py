"""Specialised networks of once-for-all: `net.config` and weights become a space of one subnet."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from search_spaces import (
    InputError,
    MobileNetV3Space,
    ProxylessNASSpace,
    ResNet50Space,
    Subnet,
    get_space,
)
from supernets import (
    CheckpointError,
    Supernet,
    cached_norm,
    load_ofa,
    load_supernet,
    read_bn_cache,
    sha256,
    to_ofa_state_dict,
)
from supernets.ofa_file import plain_key
from tests.nas.conftest import nas
from tests.supernets.once_for_all import supernet

SIDE, SLOTS = 64, 4
SPACES: dict[str, MobileNetV3Space] = {
    "MobileNetV3": MobileNetV3Space(n_classes=10, width_mult=0.25, resolutions=(SIDE,)),
    "ProxylessNASNets": ProxylessNASSpace(n_classes=10, width_mult=0.5, resolutions=(SIDE,)),
}
KERNELS, RATIOS, DEPTHS = (3, 7, 5, 3), (4, 6, 3, 3), (2, 4, 3, 2, 3)


def chosen(space: MobileNetV3Space) -> Subnet:
    """A subnet that skips blocks and has every kernel and ratio."""
    n = len(space.stage_slots)
    last = (1,) * (n - 5)  # ProxylessNAS has a stage of one block
    ks, e = ([*(v * 5), *v[: len(last)]] for v in (KERNELS, RATIOS))
    return space.from_ofa({"ks": ks, "e": e, "d": [*DEPTHS, *last], "image_size": SIDE})


def specialised(
    name: str, net: Supernet, subnet: Subnet
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """`net.config` and weights as `ofa` saves them: blocks cut to size and numbered as kept."""
    space, theirs = SPACES[name], to_ofa_state_dict(net)
    state = {k: v for k, v in theirs.items() if not k.startswith("blocks.") or k[:9] == "blocks.0."}
    blocks: list[dict[str, Any]] = [{"out_channels": space.layer_widths[1], "kernel_size": 3}]
    c_in = space.layer_widths[1]
    for stage, c_out in enumerate(space.widths):
        for slot in range(subnet["d"][stage]):
            i = stage * SLOTS + slot
            kernel, mid = subnet["k"][i], int(space.mid_width(c_in, subnet["e"][i]))
            old, new = f"blocks.{1 + i}.conv.", f"blocks.{len(blocks)}.mobile_inverted_conv."
            for key in (key for key in theirs if key.startswith(old)):
                if not key.endswith("_matrix"):
                    value = cut(theirs, key, old, kernel, mid)
                    short = key.replace(".conv.conv.", ".conv.").replace(".bn.bn.", ".bn.")
                    state[short.replace(old, new)] = value
            ratio = {"expand_ratio": subnet["e"][i], "in_channels": c_in, "mid_channels": None}
            blocks.append({"out_channels": c_out, "kernel_size": kernel, **ratio})
            c_in = c_out
    layers = [{"name": "ResidualBlock", "conv": block, "shortcut": None} for block in blocks]
    return {"name": name, "bn": {"momentum": 0.1}, "blocks": layers}, state


def cut(state: dict[str, Tensor], key: str, block: str, kernel: int, mid: int) -> Tensor:
    """One tensor of a block at its kernel and inner width."""
    value, hidden = state[key], max(8, (mid // 4 + 4) // 8 * 8)
    part = key.removeprefix(block)
    if part == "depth_conv.conv.conv.weight":
        value = value[:mid]
        for large, small in ((7, 5), (5, 3)):
            if kernel <= small:
                matrix = state[f"{block}depth_conv.conv.{large}to{small}_matrix"]
                value = value[:, :, 1:-1, 1:-1].reshape(mid, -1) @ matrix.T
                value = value.view(mid, 1, small, small)
        return value.clone()
    if part.startswith("point_linear.conv"):
        return value[:, :mid].clone()
    if part.startswith("point_linear"):
        return value
    if ".se.fc.reduce" in part:
        return (value[:hidden] if value.ndim == 1 else value[:hidden, :mid]).clone()
    if ".se.fc.expand" in part:
        return (value[:mid] if value.ndim == 1 else value[:mid, :hidden]).clone()
    return value[:mid].clone()


def saved(folder: Path, name: str) -> tuple[Supernet, Subnet]:
    """Write a specialised network into `folder`; the supernet that it was cut from."""
    net = supernet(SPACES[name])
    subnet = chosen(SPACES[name])
    config, state = specialised(name, net, subnet)
    folder.mkdir(exist_ok=True)
    (folder / "net.config").write_text(json.dumps(config))
    (folder / "run.config").write_text(json.dumps({"image_size": SIDE, "n_epochs": 0}))
    torch.save({"state_dict": state}, folder / "init")
    return net, subnet


@pytest.mark.parametrize("name", list(SPACES))
def test_it_answers_as_the_subnet_that_it_was_cut_from(name: str, tmp_path: Path) -> None:
    whole, subnet = saved(tmp_path, name)
    net = load_ofa(tmp_path / "init")
    space = net.space
    assert space == SPACES[name].specialised(subnet)
    assert len(space.enumerate()) == 1
    assert str(space.subnet(space.largest)) == str(subnet) == str(space.subnet(space.smallest))
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(x, subnet), whole(x, subnet), atol=1e-4, rtol=1e-4)


def test_the_name_of_the_space_is_the_subnet() -> None:
    space = get_space("ofa-mobilenetv3-w1.2")
    assert isinstance(space, MobileNetV3Space)
    alone = space.with_resolutions([176]).specialised(
        space.from_ofa({"ks": 5, "e": 4, "d": [2, 3, 4, 2, 3], "r": 176})
    )
    assert alone.name.startswith("ofa-mobilenetv3-w1.2=k5.5.0.0.")
    assert get_space(alone.name) == alone
    assert get_space(alone.with_exits([1, 2]).name) == alone.with_exits([1, 2])


def test_it_is_imported_with_its_own_statistics(tmp_path: Path) -> None:
    _, subnet = saved(tmp_path / "flops", "MobileNetV3")
    done = nas("supernet", "import", tmp_path / "flops", "--out", tmp_path / "net")
    assert done.code == 0, done.err
    assert "One specialised network" in (tmp_path / "net" / "card.md").read_text()
    weights = tmp_path / "net" / "weights.safetensors"
    net, _ = load_supernet(weights)
    (own,) = read_bn_cache(tmp_path / "net" / "bn.safetensors", net, sha256(weights)).items()
    assert own[0] == str(subnet)
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found = net(x, subnet, norm=cached_norm(own[1]))
        torch.testing.assert_close(found, net(x, subnet), atol=2e-2, rtol=2e-2)  # float16 inside


def test_weights_without_their_configuration_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, "MobileNetV3")
    (tmp_path / "net.config").unlink()
    with pytest.raises(CheckpointError, match=r"is one specialised network .* net\.config beside"):
        load_ofa(tmp_path / "init")


def test_a_configuration_of_another_network_is_refused(tmp_path: Path) -> None:
    saved(tmp_path, "MobileNetV3")
    config = json.loads((tmp_path / "net.config").read_text())
    config["blocks"][1]["conv"]["kernel_size"] = 5
    (tmp_path / "net.config").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"1 of another shape: blocks\.1\.conv\.depth_conv"):
        load_ofa(tmp_path / "init")
    (tmp_path / "run.config").write_text(json.dumps({"image_size": "large"}))
    with pytest.raises(CheckpointError, match="image_size must be 32 to 1024, got 'large'"):
        load_ofa(tmp_path / "init")


# ---- ResNet50 ------------------------------------------------------------------------------------

RESNET = ResNet50Space(n_classes=10, resolutions=(SIDE,))


def saved_resnet(folder: Path, *, residual: bool) -> tuple[Supernet, Subnet]:
    """Write a specialised ResNet50, its stem with its `residual` block or without."""
    folder.mkdir(exist_ok=True)
    net = supernet(RESNET)
    ratios, depths = (0.2, 0.35, 0.25) * 6, [0, 1, 2, 0]
    told = {"d": [2 * residual, *depths], "e": ratios, "w": [1, 0, 2, 1, 0, 2], "r": SIDE}
    subnet = RESNET.from_ofa(told)
    theirs = to_ofa_state_dict(net)
    inner, behind, *widths = subnet["w"]
    state = stem_of(theirs, inner, behind, residual=residual)
    blocks: list[dict[str, Any]] = []
    c_in = behind
    for stage, c_out in enumerate(widths):
        for slot in range(subnet["d"][stage]):
            i = RESNET.first_slot(stage) + slot
            mid = int(RESNET.mid_width(c_out, subnet["e"][i]))
            sizes = {"conv1": (mid, c_in), "conv2": (mid, mid), "conv3": (c_out, mid)}
            for part, (rows, columns) in {**sizes, "downsample": (c_out, c_in)}.items():
                for key in (k for k in theirs if k.startswith(f"blocks.{i}.{part}.")):
                    short = key.replace(f"blocks.{i}.", f"blocks.{len(blocks)}.")
                    state[plain_key(short)] = corner(theirs[key], rows, columns)
            sizes_told = {"in_channels": c_in, "out_channels": c_out, "mid_channels": mid}
            ratio = {"expand_ratio": subnet["e"][i] / 100, "downsample_mode": "avgpool_conv"}
            blocks.append({"name": "ResNetBottleneckBlock", **sizes_told, **ratio})
            c_in = c_out
    for leaf in ("weight", "bias"):
        value = theirs[f"classifier.linear.linear.{leaf}"]
        state[f"classifier.linear.{leaf}"] = corner(value, 10, c_in)
    first, last = ({"name": "ConvLayer", "out_channels": n} for n in (inner, behind))
    middle = {"name": "ResidualBlock", "conv": first, "shortcut": {"name": "IdentityLayer"}}
    stem = [first, *([middle] if residual else []), last]
    config = {"name": "ResNets", "bn": {}, "input_stem": stem, "blocks": blocks, "classifier": {}}
    (folder / "net.config").write_text(json.dumps(config))
    (folder / "run.config").write_text(json.dumps({"image_size": SIDE}))
    torch.save({"state_dict": state}, folder / "init")
    return net, subnet


def stem_of(
    theirs: dict[str, Tensor], inner: int, behind: int, *, residual: bool
) -> dict[str, Tensor]:
    """The first layers, cut to size and numbered as they are kept."""
    sizes = {0: (inner, 3), 1: (inner, inner), 2: (behind, inner)}
    sizes = sizes if residual else {0: sizes[0], 2: sizes[2]}
    return {
        key.replace(f"stem.{old}", f"stem.{new}").replace(".conv.conv.", ".conv."): corner(v, *size)
        for new, (old, size) in enumerate(sizes.items())
        for key, v in theirs.items()
        if key.startswith(f"input_stem.{old}.")
    }


def corner(value: Tensor, rows: int, columns: int) -> Tensor:
    """The first `rows`, and of a matrix the first `columns`."""
    return (value[:rows] if value.ndim == 1 else value[:rows, :columns]).clone()


@pytest.mark.parametrize("residual", [True, False])
def test_a_resnet50_answers_as_the_subnet_that_it_was_cut_from(
    residual: bool, tmp_path: Path
) -> None:
    whole, subnet = saved_resnet(tmp_path, residual=residual)
    net = load_ofa(tmp_path / "init")
    assert net.space == RESNET.specialised(subnet)
    assert len(net.space.enumerate()) == 1
    assert sum(p.numel() for p in net.parameters()) < sum(p.numel() for p in whole.parameters()) / 2
    x = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(x, subnet), whole(x, subnet), atol=1e-4, rtol=1e-4)
    alone = ResNet50Space(resolutions=(SIDE,)).specialised(subnet)
    assert get_space(alone.name) == alone
    assert get_space(alone.with_exits([2]).name) == alone.with_exits([2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "MobileNetV3"}, "a net.config of 'MobileNetV3' is not read here, only ResNets's"),
        ({"input_stem": 3}, "input_stem of net.config must be a list of layers"),
        ({"input_stem": [{}]}, "input_stem of net.config must be 2 or 3 layers, got 1"),
        ({"blocks": []}, "blocks of net.config make 0 stages, expected 4"),
    ],
)
def test_a_configuration_that_is_no_resnet50_is_refused(
    change: dict[str, Any], message: str
) -> None:
    blocks = [{"in_channels": 1, "out_channels": 2, "expand_ratio": 0.2}] * 4
    config = {"name": "ResNets", "input_stem": [{}, {}], "blocks": blocks, **change}
    with pytest.raises(InputError, match=re.escape(message)):
        RESNET.from_ofa(config)


def test_what_a_resnet50_cannot_have_is_named() -> None:
    def config(inner: int, *stages: tuple[int, int]) -> dict[str, Any]:
        """Channels and number of the blocks of each stage."""
        before = {"in_channels": 1, "expand_ratio": 0.2}
        blocks = [
            {**before, "in_channels": c if i else 1, "out_channels": c}
            for c, n in stages
            for i in range(n)
        ]
        stem = [{"out_channels": inner}, {"out_channels": 64}]
        return {"name": "ResNets", "input_stem": stem, "blocks": blocks}

    most = (256, 2), (512, 2), (1024, 4)
    RESNET.from_ofa(config(32, *most, (2048, 2)))
    with pytest.raises(InputError, match=r"stage 3 of net\.config has 5 blocks, not 2, 3, 4"):
        RESNET.from_ofa(config(32, *most, (2048, 5)))
    with pytest.raises(InputError, match=r"a layer of 2000 channels, expected one of 1328, 1640, "):
        RESNET.from_ofa(config(32, *most, (2000, 2)))
    with pytest.raises(InputError, match=r"a layer of 30 channels, expected one of 24, 32"):
        RESNET.from_ofa(config(30, *most, (2048, 2)))
