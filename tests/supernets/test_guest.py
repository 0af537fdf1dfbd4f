"""Networks of users, as they come: wrapped, frozen in part, with a weight that is computed."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError
from supernets.guest import bare, copied, in_eval
from supernets.traced import Wrapped


class Net(nn.Module):
    """A batch norm is frozen, a layer has two names, functions get their arguments by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 32, 3), nn.Conv2d(32, 32, 3)
        self.norm = nn.BatchNorm2d(32).eval()
        self.body = nn.Sequential(self.a, self.norm)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(input=self.norm(self.a(input=x)))
        x = torch.add(input=self.b(x), other=x[:, :, :4, :4])
        x = torch.permute(torch.cat(tensors=[x, x], dim=1), dims=(0, 1, 3, 2))
        return self.fc(torch.flatten(input=F.adaptive_avg_pool2d(x, 1), start_dim=1))


def test_what_is_around_a_network_is_taken_off() -> None:
    net = Net()
    assert bare(nn.DataParallel(nn.DataParallel(net))) is net
    with pytest.raises(InputError, match="`net` must be a torch network, got list"):
        bare([net])


def test_a_network_is_wrapped_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    net, drawn = Net(), torch.get_rng_state()
    wrapped = Wrapped(nn.DataParallel(net), 3, 8, name="mine")
    wrapped.sort(torch.randn(2, 3, 8, 8, generator=torch.Generator()))
    supernet = wrapped.supernet([])
    assert (net.training, net.a.training, net.norm.training) == (True, True, False)
    assert torch.equal(drawn, torch.get_rng_state())
    x, space = torch.randn(2, 3, 8, 8), supernet.space
    with torch.no_grad(), in_eval(net):
        assert torch.equal(supernet(x, space.subnet(space.largest))[-1], net(x))
    assert (net.training, net.norm.training) == (True, False)


def test_what_is_no_network_for_such_images_is_one_line() -> None:
    for argument in ({"in_channels": 0}, {"resolution": (8, 16)}):
        with pytest.raises(InputError, match=f"`{next(iter(argument))}` must be a whole number"):
            Wrapped(Net(), **{"in_channels": 3, "resolution": 8} | argument, name="mine")
    wrapped = Wrapped(Net(), 3, 8, name="mine")
    for images in (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8), [1]):
        with pytest.raises(InputError, match=r"images must be a float tensor \(N, C, H, H\)"):
            wrapped.sort(images)
    mean = nn.Sequential(nn.Conv2d(3, 32, 3), nn.AvgPool2d(2, divisor_override=3), nn.Flatten())
    with pytest.raises(InputError, match="1: average pooling with `divisor_override`"):
        Wrapped(mean.append(nn.Linear(288, 10)), 3, 8, name="mine")


def test_a_network_that_torch_does_not_copy_is_one_line() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        net = nn.utils.weight_norm(nn.Conv2d(3, 8, 3))
    net(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match=r"^Conv2d cannot be copied: Only Tensors [^\n]*$"):
        copied(net)
