"""Residual blocks: sizes of what they return, shortcuts, the stem's optional block."""

from __future__ import annotations

import pytest
import torch

from supernets.blocks import ElasticBasicBlock, ElasticBottleneck, ElasticStem
from supernets.elastic import running_norm
from supernets.layers import run


@pytest.mark.parametrize("kind", [ElasticBasicBlock, ElasticBottleneck])
@pytest.mark.parametrize(("stride", "side"), [(1, 7), (2, 4)])
def test_a_block_has_the_sizes_that_are_asked(kind, stride, side) -> None:
    block = kind(8, 12, 16, stride=stride, project=True)
    for c_in, mid, c_out in ((8, 12, 16), (5, 3, 9)):
        y = run(block.layers(c_in, mid, c_out), torch.randn(2, c_in, 7, 7), running_norm)
        assert y.shape == (2, c_out, side, side)
        assert (y >= 0).all()


@pytest.mark.parametrize("kind", [ElasticBasicBlock, ElasticBottleneck])
def test_a_block_whose_body_is_zero_is_its_shortcut(kind) -> None:
    block = kind(8, 12, 8, stride=1, project=False)
    last = block.norm3 if kind is ElasticBottleneck else block.norm2
    torch.nn.init.zeros_(last.weight)
    x = torch.randn(2, 8, 7, 7)
    torch.testing.assert_close(run(block.layers(8, 12, 8), x, running_norm), x.relu())


def test_the_middle_of_the_stem_can_go() -> None:
    stem, x = ElasticStem(3, 8, 16), torch.randn(2, 3, 33, 33)
    torch.nn.init.normal_(stem.norm2.bias)
    with_it, without = (run(stem.layers(on, 8, 16), x, running_norm) for on in (True, False))
    assert with_it.shape == without.shape == (2, 16, 9, 9)
    assert not torch.allclose(with_it, without)
    assert run(stem.layers(True, 4, 6), x, running_norm).shape == (2, 6, 9, 9)
