"""Groups of channels: what a residual stream joins, and all tensors that have them."""

from __future__ import annotations

import torch

from supernets.channels import reorder
from supernets.pruning.channel_groups import ChannelGroups
from tests.supernets.once_for_all import RESNET
from tests.supernets.once_for_all import supernet as once_for_all
from tests.supernets.tiny import SPACE, images, supernet

LARGEST = SPACE.subnet(SPACE.largest)


def test_a_stage_is_one_group_and_every_block_has_one_inside() -> None:
    groups = ChannelGroups(supernet().program(LARGEST))
    assert groups.sizes == {
        "stem_norm": 16,
        **{f"stages.0.{b}.norm1": 16 for b in range(2)},
        **{f"stages.1.{b}": n for b, n in (("0.norm1", 24), ("0.norm2", 24), ("1.norm1", 24))},
        **{f"stages.2.{b}": n for b, n in (("0.norm1", 32), ("0.norm2", 32), ("1.norm1", 32))},
        **{f"stages.3.{b}": n for b, n in (("0.norm1", 48), ("0.norm2", 48), ("1.norm1", 48))},
    }
    assert groups.of_norm["stages.0.1.norm2"] == "stem_norm"
    assert groups.of_norm["stages.1.0.project_norm"] == "stages.1.0.norm2"
    assert not any(key.startswith("heads") for key in groups.of_norm)


def test_reordering_every_group_changes_no_answer() -> None:
    net, x = supernet(), images(8)
    with torch.no_grad():
        before = net(x, LARGEST)
        for places in ChannelGroups(net.program(LARGEST)).places.values():
            n = places[0][0].shape[places[0][1]]
            reorder(places, torch.randperm(n))
        torch.testing.assert_close(net(x, LARGEST), before, atol=1e-5, rtol=1e-4)


def test_bottlenecks_are_found_too() -> None:
    net = once_for_all(RESNET)
    subnet = RESNET.subnet(RESNET.largest)
    groups = ChannelGroups(net.program(subnet))
    assert groups.of_norm["stages.0.1.norm3"] == groups.of_norm["stages.0.0.norm3"]
    assert groups.of_norm["stages.0.1.norm2"] != groups.of_norm["stages.0.1.norm1"]
