"""A whole network with kernels against the same one in torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces import InputError
from supernets.kernels import DepthwiseConv2d, PackedConv2d
from supernets.kernels.network import pack_network
from supernets.pruning.network import named_convolutions, prunable, select_network, weight_mask


def mobile(activation=nn.ReLU6):
    layers = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), activation()]
    for stride in (1, 2):
        layers += [nn.Conv2d(8, 8, 3, stride, 1, groups=8), nn.BatchNorm2d(8), activation()]
        layers += [nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), activation()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def pruned(net, g, sparsity):
    convolutions = prunable(net, g)
    starts = select_network(convolutions, g, sparsity)
    for name, conv in convolutions.items():
        conv.weight.data *= weight_mask(starts[name], g, conv.weight)
    return starts


def test_a_network_computes_the_same_with_kernels() -> None:
    torch.manual_seed(0)
    net = mobile()
    net.train()(torch.randn(8, 3, 18, 18))  # statistics to fold
    starts = pruned(net.eval(), 4, 0.5)
    packed = pack_network(net, starts, 4)
    x = torch.randn(2, 3, 18, 18)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), net(x), rtol=1e-4, atol=1e-5)
    kinds = [type(m) for m in packed.modules()]
    assert (kinds.count(PackedConv2d), kinds.count(DepthwiseConv2d)) == (3, 2)  # and the stem
    assert nn.BatchNorm2d not in kinds
    assert nn.ReLU6 not in kinds


def test_layers_that_cannot_be_packed_are_refused_by_name() -> None:
    net = mobile()
    starts = select_network(prunable(net, 4), 4, 0.5)
    with pytest.raises(InputError, match="5: no convolution of Sequential"):
        pack_network(net, {"5": starts["6"]}, 4)
    with pytest.raises(InputError, match="3: 8 groups; only a convolution of one can be packed"):
        pack_network(net, {"3": starts["6"]}, 4)
    with pytest.raises(InputError, match="3: 8 groups; blocks need a convolution of one"):
        named_convolutions(net, ["3"])
    net[6] = nn.Conv2d(8, 8, 1, stride=(1, 2))
    with pytest.raises(InputError, match=r"6: stride \(1, 2\) and padding"):
        pack_network(net, {"6": starts["6"]}, 4)


class Twice(nn.Module):
    """A convolution that runs twice, each time with another norm, and no ReLU behind it."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu = nn.Conv2d(8, 8, 3, padding=1), nn.LeakyReLU(0.5)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))
        self.last = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        for norm in self.norms:
            x = norm(self.conv(x))
        return self.relu(self.last(x))


@pytest.mark.parametrize("kernels", [True, False])
def test_a_shared_layer_and_another_one_called_relu_compute_the_same(kernels) -> None:
    torch.manual_seed(0)
    net, x = Twice(), torch.randn(2, 8, 6, 6)
    net.norms[1].weight.data.fill_(3)
    net.train()(x)
    starts = pruned(net.eval(), 4, 0.5)
    packed = pack_network(net, starts if kernels else {}, 4, kernels=kernels)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), net(x), rtol=1e-4, atol=1e-5)
    assert sum(isinstance(m, PackedConv2d) for m in packed.modules()) == 3 * kernels


def test_mobilenet_v2_of_torchvision_computes_the_same_with_kernels() -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    net = models.mobilenet_v2().eval()
    packed = pack_network(net, pruned(net, 4, 0.8), 4)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(packed(x), net(x), rtol=1e-3, atol=1e-4)
    kinds = [type(m) for m in packed.modules()]
    assert (kinds.count(PackedConv2d), kinds.count(DepthwiseConv2d)) == (35, 17)
