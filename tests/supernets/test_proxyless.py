"""Once-for-all's ProxylessNAS: a file in its layout answers as a plain network of the same weights.

Layout and arithmetic are written down here from the published network, with torch's functions
alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from search_spaces import OnceForAllSpace, ProxylessNASSpace, get_space
from supernets import Supernet, load_ofa
from tests.nas.conftest import nas

WIDTHS, LAST = (16, 8, 16, 24, 40, 48, 96, 160), 640  # of 0.5 times the base, multiples of 8
STRIDES, SLOTS = (2, 2, 2, 1, 2, 1), (4, 4, 4, 4, 4, 1)
State = dict[str, Tensor]


def blocks() -> Iterator[tuple[int, int, int, int, int]]:
    """Stage, slot, channels before and behind, stride of blocks 1 to 21."""
    c_in = WIDTHS[1]
    for stage, (c_out, n) in enumerate(zip(WIDTHS[2:], SLOTS, strict=True)):
        for slot in range(n):
            yield stage, slot, c_in, c_out, STRIDES[stage] if slot == 0 else 1
            c_in = c_out


def layout() -> dict[str, tuple[int, ...]]:
    """Shapes by key of convolutions, matrices and classifier, and channels of the norms."""
    shapes: dict[str, tuple[int, ...]] = {
        "first_conv.conv.weight": (WIDTHS[0], 3, 3, 3),
        "first_conv.bn": (WIDTHS[0],),
        "blocks.0.mobile_inverted_conv.depth_conv.conv.weight": (WIDTHS[0], 1, 3, 3),
        "blocks.0.mobile_inverted_conv.depth_conv.bn": (WIDTHS[0],),
        "blocks.0.mobile_inverted_conv.point_linear.conv.weight": (WIDTHS[1], WIDTHS[0], 1, 1),
        "blocks.0.mobile_inverted_conv.point_linear.bn": (WIDTHS[1],),
    }
    for i, (_, _, c_in, c_out, _) in enumerate(blocks(), start=1):
        block, mid = f"blocks.{i}.mobile_inverted_conv.", 6 * c_in
        shapes |= {
            f"{block}inverted_bottleneck.conv.conv.weight": (mid, c_in, 1, 1),
            f"{block}inverted_bottleneck.bn.bn": (mid,),
            f"{block}depth_conv.conv.conv.weight": (mid, 1, 7, 7),
            f"{block}depth_conv.conv.7to5_matrix": (25, 25),
            f"{block}depth_conv.conv.5to3_matrix": (9, 9),
            f"{block}depth_conv.bn.bn": (mid,),
            f"{block}point_linear.conv.conv.weight": (c_out, mid, 1, 1),
            f"{block}point_linear.bn.bn": (c_out,),
        }
    shapes |= {
        "feature_mix_layer.conv.weight": (LAST, WIDTHS[-1], 1, 1),
        "feature_mix_layer.bn": (LAST,),
        "classifier.linear.weight": (10, LAST),
        "classifier.linear.bias": (10,),
    }
    return shapes


def drawn() -> State:
    """Random weights, norms and matrices that all matter."""
    generator, state = torch.Generator().manual_seed(0), State()

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(shape, generator=generator)

    for key, shape in layout().items():
        if key.endswith("bn"):
            state[f"{key}.weight"] = 1 + normal(*shape, scale=0.1)
            state[f"{key}.bias"] = normal(*shape, scale=0.2)
            state[f"{key}.running_mean"] = normal(*shape, scale=0.2)
            state[f"{key}.running_var"] = 0.5 + torch.rand(shape, generator=generator)
            state[f"{key}.num_batches_tracked"] = torch.tensor(3)
        elif key.endswith("matrix"):
            state[key] = torch.eye(*shape) + normal(*shape, scale=0.1)
        else:
            fan_in = int(np.prod(shape[1:])) or 1
            state[key] = normal(*shape, scale=fan_in**-0.5)
    return state


def norm(state: State, key: str, x: Tensor) -> Tensor:
    parts = (
        state[f"{key}.{part}"][: x.shape[1]]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(x, *parts, False, 0.0, 1e-3)


def reference(state: State, x: Tensor, config: dict[str, list[int]]) -> Tensor:
    """Logits of the subnet `{ks: [21], e: [21], d: [6]}`."""
    x = F.relu6(
        norm(state, "first_conv.bn", F.conv2d(x, state["first_conv.conv.weight"], None, 2, 1))
    )
    first = "blocks.0.mobile_inverted_conv."
    x = F.conv2d(x, state[f"{first}depth_conv.conv.weight"], None, 1, 1, groups=WIDTHS[0])
    x = F.relu6(norm(state, f"{first}depth_conv.bn", x))
    x = F.conv2d(x, state[f"{first}point_linear.conv.weight"])
    x = norm(state, f"{first}point_linear.bn", x)
    for i, (stage, slot, c_in, c_out, stride) in enumerate(blocks(), start=1):
        if slot < config["d"][stage]:
            y = mobile(
                state,
                f"blocks.{i}.mobile_inverted_conv.",
                x,
                config["ks"][i - 1],
                config["e"][i - 1],
                stride,
            )
            x = x + y if stride == 1 and c_in == c_out else y
    x = F.relu6(
        norm(state, "feature_mix_layer.bn", F.conv2d(x, state["feature_mix_layer.conv.weight"]))
    )
    return F.linear(
        x.mean(dim=(2, 3)), state["classifier.linear.weight"], state["classifier.linear.bias"]
    )


def mobile(state: State, block: str, x: Tensor, kernel: int, expand: int, stride: int) -> Tensor:
    """One inverted bottleneck; all widths here times 3, 4 or 6 are multiples of 8."""
    mid = expand * x.shape[1]
    x = F.conv2d(x, state[f"{block}inverted_bottleneck.conv.conv.weight"][:mid])
    x = F.relu6(norm(state, f"{block}inverted_bottleneck.bn.bn", x))
    weight = state[f"{block}depth_conv.conv.conv.weight"][:mid]
    for large, small in ((7, 5), (5, 3)):
        if kernel <= small:
            centre = weight[:, :, 1:-1, 1:-1].reshape(mid, small**2)
            matrix = state[f"{block}depth_conv.conv.{large}to{small}_matrix"]
            weight = (centre @ matrix.T).view(mid, 1, small, small)
    x = F.conv2d(x, weight, None, stride, kernel // 2, groups=mid)
    x = F.relu6(norm(state, f"{block}depth_conv.bn.bn", x))
    x = F.conv2d(x, state[f"{block}point_linear.conv.conv.weight"][:, :mid])
    return norm(state, f"{block}point_linear.bn.bn", x)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `ofa` saves it, from several GPUs."""
    path = tmp_path_factory.mktemp("proxyless") / "ofa_proxyless"
    torch.save({"state_dict": {f"module.{key}": v for key, v in drawn().items()}}, path)
    return path


@pytest.fixture(scope="module")
def net(file: Path) -> Supernet:
    return load_ofa(file)


def test_subnets_answer_as_a_plain_network_does(net: Supernet) -> None:
    space = net.space
    assert isinstance(space, ProxylessNASSpace)
    assert space == ProxylessNASSpace(n_classes=10, width_mult=0.5)
    genes = np.concatenate(
        [space.largest, space.smallest, space.sample(4, np.random.default_rng(0))]
    )
    for row in genes:
        subnet = space.subnet(row)
        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            (found,) = net(x, subnet)
            wanted = reference(drawn(), x, space.to_ofa(subnet))
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
        assert space.from_ofa(space.to_ofa(subnet)) == subnet


def test_the_published_width_has_the_published_channels() -> None:
    space = get_space("ofa-proxyless-w1.3")
    assert isinstance(space, OnceForAllSpace)
    assert space == ProxylessNASSpace()
    assert space.layer_widths == (40, 24, 32, 56, 104, 128, 248, 416, 1664)  # type: ignore[attr-defined]
    assert len(space.to_ofa(space.subnet(space.largest))["ks"]) == 21


def test_it_is_imported_and_searched(file: Path, tmp_path: Path) -> None:
    done = nas("supernet", "import", file, "--out", tmp_path / "net")
    assert done.code == 0, done.err
    assert "ofa-proxyless-w0.5 in" in done.err
    card = (tmp_path / "net" / "card.md").read_text()
    assert "Weight-sharing supernet of the space `ofa-proxyless-w0.5`, imported" in card
