"""What cannot be wrapped is refused in one line that names the module."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.traced import NotUnderstood, Wrapped, capture
from tests.supernets.traced.networks import SIDE, Resnet, images


class Inner(nn.Module):
    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Net(nn.Module):
    """A network whose middle is `body`."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.inner, self.fc = nn.Conv2d(3, 16, 3), Inner(body), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.inner(self.conv(x)).mean((2, 3)))


def by_value(x: Tensor) -> Tensor:
    return x if x.sum() > 0 else -x


def by_size(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2) if x.shape[-1] > 4 else x


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.fc = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Linear(3, 2)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.b(self.a(x)).mean((2, 3)))


class Twice(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.a(self.a(x)).mean((2, 3)))


class Changes(Shared):
    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x -= 1
        return super().forward(x)


class TwoAnswers(Changes):
    def forward(self, x: Tensor) -> Tensor:
        return x, self.fc(self.a(x).mean((2, 3)))  # type: ignore[return-value]


class TwoInputs(Changes):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return x + y


REFUSED = {
    "control flow": (
        lambda: Net(by_value),
        r"^inner \(Inner\) cannot be traced: what is in an image decides",
    ),
    "operation": (lambda: Net(torch.sin), r"^inner\.sin: no rule for the operation sin$"),
    "module": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(), nn.Flatten(), nn.Linear(8, 2)),
        r"^1: no rule for a module of type PReLU$",
    ),
    "shared": (Shared, r"^b\.weight is a\.weight: weights that two modules share"),
    "twice": (Twice, r"^a runs twice"),
    "input": (Changes, r"the network changes its input"),
    "parameters": (lambda: nn.Flatten(), r"^Flatten has no parameters"),
    "answers": (TwoAnswers, r"must return one tensor of logits .* it returns a tuple$"),
    "map": (lambda: nn.Conv2d(3, 8, 3), r"it returns what .* makes, \(N, 8, 14, 14\)$"),
    "inputs": (TwoInputs, r"^y: a network of one input is wanted"),
    "loop": (lambda: Net(lambda x: next(iter(x))), r"a loop runs over the values of a"),
    "half": (lambda: Net(torch.relu).half(), r"^conv\.weight is torch\.float16 on cpu"),
    "batch": (lambda: Net(lambda x: x - x.mean(0, keepdim=True)), r"images of a batch apart$"),
    "size": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 2)),
        r"^2 does not run on these images: ",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_not_understood_is_named(fault: str) -> None:
    make, told = REFUSED[fault]
    with pytest.raises(NotUnderstood, match=told) as caught:
        capture(make(), 3, SIDE)
    assert "\n" not in str(caught.value)


class Computed(nn.Module):
    """Filters that are standardised, a loop over parts, a response norm over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last, self.fc = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 32, 3), nn.Linear(32, 2)
        self.gamma, self.beta = (nn.Parameter(torch.rand(8, 1, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        filters = self.conv.weight
        filters = (filters - filters.mean((1, 2, 3), keepdim=True)) / filters.std()
        x = torch.cat([F.relu(part) for part in F.conv2d(x, filters).chunk(2, 1)], 1)
        size = x.norm(dim=(2, 3), keepdim=True)
        x = x + torch.addcmul(self.beta, self.gamma, x * (size / (size.mean(1, keepdim=True) + 1)))
        return self.fc(F.relu(self.last(x)).mean((2, 3)))


@torch.no_grad()
def test_weights_that_are_computed_go_on_as_they_are() -> None:
    net = Computed().eval()
    supernet = Wrapped(net, 3, SIDE, name="computed").supernet([])
    space = supernet.space
    assert space.widths == ((16, 24, 32),)
    found = supernet(images(), space.subnet(space.largest))[-1]
    torch.testing.assert_close(found, net(images()))


class Tokens(nn.Module):
    """Mixes pixels with a linear layer, as MLP-Mixer does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix, self.fc = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(self.conv(x).flatten(2)).mean(2))


def test_a_linear_layer_over_pixels_is_refused() -> None:
    with pytest.raises(NotUnderstood, match=r"^mix: a linear layer of what are no channels"):
        Wrapped(Tokens(), 3, SIDE, name="tokens")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_network_without_code_is_refused() -> None:
    compiled = torch.jit.script(nn.Conv2d(3, 4, 3))
    with pytest.raises(NotUnderstood, match=r"compiled by torch\.jit has no code"):
        capture(compiled, 3, SIDE)


def test_nothing_elastic_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    with pytest.raises(NotUnderstood, match="nothing elastic"):
        Wrapped(net, 3, SIDE, name="tiny").supernet()


def test_branches_on_sizes_are_taken_as_for_the_images() -> None:
    kinds = [call.kind for call in capture(Net(by_size), 3, SIDE)]
    assert "max_pool" in kinds
    assert "max_pool" not in [call.kind for call in capture(Net(by_size), 3, 6)]


def test_the_network_stays_as_it_is() -> None:
    net = Resnet().train()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    Wrapped(net, 3, SIDE, name="resnet").sort()
    assert net.training
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
