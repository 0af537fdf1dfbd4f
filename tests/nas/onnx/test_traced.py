"""Networks as their users write them: with functions, methods, lists and sizes between layers."""

from __future__ import annotations

import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.onnx.graph import program_model
from search_spaces import InputError
from supernets.kernels import pack_network


class Written(nn.Module):
    """Many ways to say the same things."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, bias=False), nn.Conv2d(16, 16, 2)
        self.norm = nn.BatchNorm2d(16, affine=False)
        self.drop, self.act = nn.Dropout2d(0.5), nn.SiLU(inplace=True)
        self.fc = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.norm(F.leaky_relu(self.a(x), 0.2)), 3, stride=2, padding=1)
        y = self.drop(self.act(self.b(F.pad(x, (0, 1, 0, 1)))))
        left, right = torch.cat([x, y * 2 + x], dim=1).chunk(2, 1)
        z = torch.cat((right.relu(), 1.5 * left.sigmoid()), 1)
        return self.fc(F.adaptive_avg_pool2d(z, 1).view(z.size(0), -1))


@torch.inference_mode()
def test_it_answers_as_torch_for_any_number_of_images() -> None:
    torch.manual_seed(0)
    net = Written().eval()
    net.norm.running_var.uniform_(0.5, 2)
    x = torch.randn(5, 3, 17, 17)
    folded = pack_network(net, {}, 1, kernels=False)
    model = program_model(folded, x[:1], half=False)
    options = {"providers": ["CPUExecutionProvider"]}
    session = ort.InferenceSession(model.SerializeToString(), **options)
    for images in (x, x[:1]):
        (found,) = session.run(None, {"input": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), net(images), rtol=1e-4, atol=1e-5)


class Repeated(Written):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.a(x).mean((2, 3)).repeat(1, 2))


class Two(Written):
    def forward(self, x: Tensor) -> Tensor:
        return x, self.a(x)


@pytest.mark.parametrize(
    ("net", "words"), [(Repeated(), "cannot export repeat"), (Two(), "that returns a tuple")]
)
def test_what_has_no_node_is_named(net: nn.Module, words: str) -> None:
    with pytest.raises(InputError, match=words):
        program_model(pack_network(net, {}, 1, kernels=False), torch.zeros(1, 3, 9, 9), half=False)


def test_a_batch_norm_without_statistics_stays_apart_and_is_no_node() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)).eval()
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(pack_network(net, {}, 1)(x), net(x))
    with pytest.raises(InputError, match="a batch norm that keeps no statistics"):
        program_model(net, x[:1], half=False)
