"""Blocks of once-for-all's tables, cut out of a subnet."""

from __future__ import annotations

import pytest
import torch

from nas.devices.ofa_blocks import block_network
from predictors import ofa_keys
from search_spaces import MobileNetV3Space
from supernets import extract, random_supernet

SPACE = MobileNetV3Space(n_classes=10, resolutions=(32,))
SMALLEST = SPACE.subnet(SPACE.smallest)


@torch.inference_mode()
def test_a_block_gets_what_the_one_before_it_answers() -> None:
    net = extract(random_supernet(SPACE), SMALLEST).fold()
    image = torch.randn(1, *SPACE.input_shape(SMALLEST))
    n = len(ofa_keys(SPACE, SMALLEST))
    first, x = block_network(net, image, 0)
    assert x is image
    for index in range(1, n):
        part, x = block_network(net, image, index)
        torch.testing.assert_close(x, first(block_network(net, image, index - 1)[1]))
        first = part
    with pytest.raises(IndexError):
        block_network(net, image, n)
