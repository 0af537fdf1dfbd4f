"""Heads along the depth, at any width of the features that they see."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from supernets import ExitHead, FinalHead
from supernets.elastic import batch_norm
from supernets.layers import run, static


@pytest.mark.parametrize("side", [4, 8, 11])
@pytest.mark.parametrize("c_in", [3, 6])
def test_a_head_answers_at_every_width_and_side(side: int, c_in: int) -> None:
    x = torch.randn(2, c_in, side, side)
    for head in (ExitHead(6, 5, 10, side=4), FinalHead(6, 10)):
        assert run(head.layers(c_in), x, batch_norm).shape == (2, 10)


def test_the_plain_head_answers_what_the_elastic_one_does() -> None:
    x = torch.randn(2, 3, 8, 8)
    head = FinalHead(6, 10)
    plain = nn.Sequential(*static(head.layers(3), None))
    assert torch.equal(plain(x), run(head.layers(3), x, batch_norm))
