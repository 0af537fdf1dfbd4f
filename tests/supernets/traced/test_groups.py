"""Which layers are cut together: as read from the networks by hand, and as Torch-Pruning says."""

from __future__ import annotations

import pytest
from torch import nn

from supernets.traced import Wrapped
from tests.supernets.traced.networks import NETWORKS, SIDE, build, images

BY_HAND = {
    "inverted": [{"expand.0", "excite"}, {"stem", "project.0"}, {"wide.0"}],
    "dense": [{"convs.0"}, {"convs.1"}, {"convs.2"}, {"hidden"}, {"stem"}],
    "shuffled": [{"inner.0"}],
    "channels_last": [{"stem", "narrow"}, {"wide"}],
}


def groups(net: nn.Module) -> list[set[str]]:
    """The layers that make the channels of every elastic group."""
    found = Wrapped(net, 3, SIDE, name="network")
    members: dict[int, set[str]] = {}
    for axis in found.groups.axes:
        call = found.calls[axis.call]
        if (axis.tensor, axis.dim) == ("weight", 0) and call.kind in ("conv", "linear"):
            root = found.groups.sets.root(axis.spans[0][0])
            if call.options.get("groups", 1) == 1 and root in found.genes:
                members.setdefault(root, set()).add(call.name)
    return sorted(members.values(), key=min)


@pytest.mark.parametrize("name", BY_HAND)
def test_layers_that_are_cut_together(name: str) -> None:
    assert groups(build(name)) == sorted(BY_HAND[name], key=min)


def test_a_grouped_convolution_keeps_its_groups_whole() -> None:
    space = Wrapped(build("inverted"), 3, SIDE, name="network").space([])
    assert (32, 48, 64) in space.widths  # multiples of 8 and of the 4 channels of a group
    grouped = next(node for node in space.nodes if node.name == "grouped.0")
    assert space.conv_groups(grouped, 32, 32) == 8


# "dense" is left out: they cut all that is flattened
@pytest.mark.parametrize("name", sorted(NETWORKS.keys() - {"dense"}))
def test_groups_are_those_of_torch_pruning(name: str) -> None:
    pruning = pytest.importorskip("torch_pruning")
    net = build(name)
    graph = pruning.DependencyGraph().build_dependency(net, example_inputs=images())
    names = {module: name for name, module in net.named_modules()}
    for ours in groups(net):
        first = net.get_submodule(min(ours))
        linear = isinstance(first, nn.Linear)
        prune = pruning.prune_linear_out_channels if linear else pruning.prune_conv_out_channels
        theirs = {
            names[dependency.target.module]
            for dependency, channels in graph.get_pruning_group(first, prune, idxs=[0])
            if channels
            and isinstance(dependency.target.module, nn.Conv2d | nn.Linear)
            and getattr(dependency.target.module, "groups", 1) == 1
            and "out_channels" in dependency.pruning_fn.__name__
        }
        assert theirs == ours
