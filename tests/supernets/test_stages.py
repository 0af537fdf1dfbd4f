"""Supernets of stages: every block slot is there, a subnet lists those that it keeps."""

from __future__ import annotations

from supernets.layers import Block
from tests.supernets.tiny import SPACE, subnets, supernet

SUPERNET = supernet()


def test_there_is_a_block_for_every_slot_and_a_head_for_every_exit() -> None:
    assert [len(stage) for stage in SUPERNET.stages] == list(SPACE.stage_slots)
    assert len(SUPERNET.heads) == SPACE.n_exits + 1
    keys = [layer.key for _, layer in SUPERNET.norms()]
    assert len(set(keys)) == len(keys)


def test_a_subnet_lists_the_blocks_that_its_depth_keeps() -> None:
    for subnet in subnets(6):
        for k in range(SPACE.n_exits + 1):
            layers, channels = SUPERNET.segment(k, subnet)
            stages = SPACE.stages(k)
            assert sum(isinstance(x, Block) for x in layers) == sum(subnet["d"][s] for s in stages)
            assert channels == subnet["w"][stages[-1]]
