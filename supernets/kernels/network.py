"""A whole network with kernels: batch norm folded, ReLU fused, convolutions replaced by layers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from search_spaces import Bools, InputError
from supernets.guest import bare, copied
from supernets.kernels.layers import DepthwiseConv2d, KernelLayer, PackedConv2d
from supernets.kernels.packed import check_columns, pack
from supernets.static import GlobalMean, PoolTo

BOUNDS: dict[type[nn.Module], tuple[float, float]] = {
    nn.ReLU: (0.0, np.inf),
    nn.ReLU6: (0.0, 6.0),
}
RELUS = (torch.relu, torch.nn.functional.relu, "relu", "relu_")
STEM_ROWS = 8  # of a block of a layer that keeps all its weights
LEAVES = (GlobalMean, PoolTo, KernelLayer)


class _Tracer(fx.Tracer):  # type: ignore[misc]
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)


def pack_network(
    net: nn.Module,
    starts: Mapping[str, Bools],
    g: int | Mapping[str, int],
    *,
    kernels: bool = True,
) -> fx.GraphModule:
    """A copy of `net` for inference, with kernels.

    `starts` by the convolution's name are those of `select_network`; cells outside the blocks count
    as zero; `g` may differ by layer. Depthwise convolutions and one that reads the image get a
    kernel too, others stay torch's. `net` must be one that `torch.fx` can trace. Without `kernels`
    batch norm is folded, and that is all.
    """
    net = copied(bare(net)).eval()
    try:
        traced = fx.GraphModule(net, _Tracer().trace(net))
    except Exception as error:  # whatever the user's code raises when it meets a symbol
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{type(net).__name__}: torch.fx cannot trace it: {reason}") from error
    check_called(traced, starts, type(net).__name__)
    origin = _separated(traced)
    for node, name in origin.items():
        own = g if isinstance(g, int) else g.get(name, 1)
        _replace(traced, node, starts.get(name), own, kernels)
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced


def check_called(traced: fx.GraphModule, names: Iterable[str], network: str) -> None:
    """InputError: not all of `names` are convolutions that the `network` runs as torch's own."""
    modules = dict(traced.named_modules())
    if missing := [name for name in names if not isinstance(modules.get(name), nn.Conv2d)]:
        raise InputError(
            f"{', '.join(missing)}: no convolution of {network} that it runs as torch's own"
        )


def _separated(net: fx.GraphModule) -> dict[fx.Node, str]:
    """The calls of convolutions and what each is called in the network.

    A convolution that is called again gets a twin there: what follows is folded into either.
    """
    found: dict[fx.Node, str] = {}
    for node in net.graph.nodes:
        name = str(node.target)
        if node.op != "call_module" or not isinstance(net.get_submodule(name), nn.Conv2d):
            continue
        if times := list(found.values()).count(name):
            node.target = f"{name}_call{times}"
            net.add_submodule(node.target, copy.deepcopy(net.get_submodule(name)))
        found[node] = name
    return found


def _replace(
    net: fx.GraphModule, node: fx.Node, starts: Bools | None, g: int, kernels: bool
) -> None:
    """The convolution of `node` with the batch norm and ReLU behind it becomes one layer."""
    name = str(node.target)
    conv = cast(nn.Conv2d, net.get_submodule(name))
    follower = _follower(net, node, (nn.BatchNorm2d,))
    if follower is not None and cast(nn.BatchNorm2d, follower[1]).running_mean is not None:
        conv = fuse_conv_bn_eval(conv, cast(nn.BatchNorm2d, follower[1]))
        net.set_submodule(name, conv)
        _drop(net, follower[0], node)
    if not kernels:
        return
    if starts is None and _is_stem(conv):
        starts, g = _all_blocks(conv), STEM_ROWS
    if starts is None and not _is_depthwise(conv):
        return
    low, high = -np.inf, np.inf
    follower = _follower(net, node, tuple(BOUNDS))
    if follower is not None:
        low, high = BOUNDS[type(follower[1])]
        _drop(net, follower[0], node)
    layer: nn.Module
    bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
    if starts is None:
        stride = int(conv.stride[0])
        layer = DepthwiseConv2d(conv.weight, bias, name=name, stride=stride, low=low, high=high)
    else:
        layer = packed_layer(name, conv, bias, starts, g, low, high)
    net.set_submodule(name, layer)


def packed_layer(
    name: str,
    conv: nn.Conv2d,
    bias: Tensor,
    starts: Bools,
    g: int,
    low: float = -np.inf,
    high: float = np.inf,
) -> PackedConv2d:
    """`conv` as blocks; InputError names a layer that no kernel can compute."""
    check_packable(name, conv)
    weight = conv.weight.detach().float().numpy()
    packed = pack(name, weight, starts, g, bias.float().numpy())
    stride, padding = int(conv.stride[0]), int(cast(tuple[int, int], conv.padding)[0])
    return PackedConv2d(packed, name=name, stride=stride, padding=padding, low=low, high=high)


def check_packable(name: str, conv: nn.Conv2d) -> None:
    """InputError where the kernel cannot compute what `conv` does."""
    if "weight" not in dict(conv.named_parameters(recurse=False)):
        raise InputError(
            f"{name}: its weight is computed from others, as by weight norm; make it one of its own"
        )
    if conv.groups != 1:
        raise InputError(f"{name}: {conv.groups} groups; only a convolution of one can be packed")
    if conv.dilation != (1, 1) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        raise InputError(f"{name}: dilation and padding other than zeros cannot be packed")
    if conv.stride[0] != conv.stride[1] or conv.padding[0] != conv.padding[1]:
        raise InputError(
            f"{name}: stride {conv.stride} and padding {conv.padding} must be the same for rows "
            "and columns to be packed"
        )
    check_columns(name, conv.weight[0].numel())


def _is_stem(conv: nn.Conv2d) -> bool:
    """Whether `conv` reads an image: so few columns that the kernel is faster with all of them."""
    if conv.in_channels > 4 or conv.groups > 1 or conv.out_channels % STEM_ROWS:
        return False
    try:
        check_packable("stem", conv)
    except InputError:
        return False
    return True


def _all_blocks(conv: nn.Conv2d) -> Bools:
    """Where blocks start that hold every weight."""
    rows, columns = conv.out_channels, conv.weight[0].numel()
    starts = np.zeros((rows - STEM_ROWS + 1, columns), dtype=bool)
    starts[::STEM_ROWS] = True
    return starts


def _is_depthwise(conv: nn.Conv2d) -> bool:
    """Whether the depthwise kernel computes `conv`."""
    taps, other = conv.kernel_size
    plain = conv.padding_mode == "zeros" and conv.dilation == (1, 1)
    return (
        plain
        and conv.groups == conv.in_channels == conv.out_channels
        and taps == other
        and taps % 2 == 1
        and conv.padding == (taps // 2, taps // 2)
        and conv.stride in ((1, 1), (2, 2))
    )


def _follower(
    net: fx.GraphModule, node: fx.Node, kinds: tuple[type[nn.Module], ...]
) -> tuple[fx.Node, nn.Module] | None:
    """What alone reads `node`'s output, where it is of one of `kinds`."""
    if len(node.users) != 1:
        return None
    (user,) = node.users
    if user.op == "call_module" and type(net.get_submodule(str(user.target))) in kinds:
        return user, net.get_submodule(str(user.target))
    if nn.ReLU in kinds and user.op != "call_module" and user.target in RELUS:
        return user, nn.ReLU()
    return None


def _drop(net: fx.GraphModule, node: fx.Node, source: fx.Node) -> None:
    node.replace_all_uses_with(source)
    net.graph.erase_node(node)
