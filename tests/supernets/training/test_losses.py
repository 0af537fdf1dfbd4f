"""The parts of the training recipe: divergences, Muon, progressive shrinking, frozen trunks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from search_spaces import InputError, get_space
from supernets import Supernet, load_supernet
from supernets.training import TrainSettings, train
from supernets.training.losses import MAX_RATIO, alpha_divergence, kl_divergence
from supernets.training.optimizer import SupernetOptimizer
from supernets.training.shrinking import open_dimensions
from tests.supernets.tiny import SPACE, images, supernet
from tests.supernets.training.test_loop import SETTINGS, small_digits

# ---- divergences ---------------------------------------------------------------------------------


def pair(seed: int, scale: float) -> tuple[Tensor, Tensor]:
    """Student logits that want a gradient, teacher probabilities."""
    generator = torch.Generator().manual_seed(seed)
    student, teacher = scale * torch.randn(2, 7, 5, dtype=torch.float64, generator=generator)
    return student.requires_grad_(), teacher.softmax(dim=1)


def gradient(value: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(value, of)[0]


@given(seed=st.integers(0, 999), scale=st.floats(0.1, 3))
def test_kl_has_the_gradient_of_torch(seed: int, scale: float) -> None:
    student, teacher = pair(seed, scale)
    wanted = F.kl_div(F.log_softmax(student, 1), teacher, reduction="batchmean")
    found = kl_divergence(student, teacher)
    torch.testing.assert_close(gradient(found, student), gradient(wanted, student))


@given(seed=st.integers(0, 999), scale=st.floats(0.05, 0.4))
def test_alpha_takes_the_larger_of_both_divergences(seed: int, scale: float) -> None:
    """Against autograd through the definitions, where nothing reaches the bound of the ratio."""
    student, teacher = pair(seed, scale)
    q = student.softmax(dim=1)
    assert (q / teacher).max() < MAX_RATIO
    forward = (teacher * (teacher / q).log()).sum(dim=1)
    backward = 0.5 * (q * ((q / teacher) - 1)).sum(dim=1)  # alpha = -1
    wanted = torch.maximum(forward, backward).mean()
    found = alpha_divergence(student, teacher)
    torch.testing.assert_close(gradient(found, student), gradient(wanted, student))


def test_alpha_stays_finite_where_the_teacher_is_sure() -> None:
    student = torch.tensor([[50.0, -50.0]], requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0]])
    loss = alpha_divergence(student, teacher)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient(loss, student)).all()


@pytest.mark.parametrize("divergence", [kl_divergence, alpha_divergence])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn(divergence: object) -> None:
    student, _ = pair(0, 1.0)
    loss = divergence(student, student.detach().softmax(dim=1))  # type: ignore[operator]
    torch.testing.assert_close(gradient(loss, student), torch.zeros_like(student))


# ---- the optimiser -------------------------------------------------------------------------------


def stepped(settings: TrainSettings) -> tuple[Supernet, dict[str, Tensor]]:
    """A supernet after one step on the sum of its logits, and what it was."""
    net = supernet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    before = {k: v.detach().clone() for k, v in net.named_parameters()}
    optimizer = SupernetOptimizer(net, settings)
    torch.stack(net(images(), SPACE.subnet(SPACE.largest))).square().sum().backward()
    optimizer.step(1.0)
    return net, before


def test_muon_moves_a_convolution_by_an_orthogonal_matrix() -> None:
    settings = replace(SETTINGS, muon_lr=0.1, muon_decay=0.0)
    net, before = stepped(settings)
    name = "stages.2.1.conv2.weight"
    moved = (dict(net.named_parameters())[name].detach() - before[name]).flatten(1) / 0.1
    singular = torch.linalg.svdvals(moved)
    assert singular.max() < 1.3  # five Newton-Schulz steps end between about 0.7 and 1.2
    assert singular.median() > 0.6


def test_sgd_moves_everything_else() -> None:
    settings = replace(SETTINGS, muon_lr=0.1, weight_decay=0.0)
    net, before = stepped(settings)
    for name, parameter in net.named_parameters():
        if parameter.ndim != 4:
            assert parameter.grad is not None
            wanted = before[name] - settings.lr * (1 + settings.momentum) * parameter.grad
            torch.testing.assert_close(parameter.detach(), wanted)


def test_without_muon_it_is_torch_sgd() -> None:
    settings = replace(SETTINGS, muon_lr=0.0, weight_decay=0.0)
    net, before = stepped(settings)
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None
        wanted = before[name] - settings.lr * (1 + settings.momentum) * parameter.grad
        torch.testing.assert_close(parameter.detach(), wanted)


# ---- progressive shrinking -----------------------------------------------------------------------


@given(seed=st.integers(0, 999), progress=st.floats(0, 1))
def test_dimensions_open_one_after_the_other(seed: int, progress: float) -> None:
    genes = SPACE.sample(20, np.random.default_rng(seed))
    opened = open_dimensions(SPACE, genes, progress)
    SPACE.check(opened)
    letters = [g.letter for g in SPACE.groups for _ in g.choices]
    n_open = min(int(4 * progress), 3)
    for letter in "dwe"[n_open:]:
        columns = [c == letter for c in letters]
        active = opened[:, columns] > 0
        largest = np.broadcast_to(SPACE.largest[:, columns], active.shape)
        np.testing.assert_array_equal(opened[:, columns][active], largest[active])
    if progress == 1:
        np.testing.assert_array_equal(opened, genes)


def test_a_space_of_one_dimension_opens_as_well() -> None:
    space = get_space("nasbench201")
    genes = space.sample(5, np.random.default_rng(0))
    np.testing.assert_array_equal(open_dimensions(space, genes, 1.0), genes)


# ---- exits on a trunk that stays -----------------------------------------------------------------


def test_exits_learn_and_the_last_exit_keeps_every_bit(tmp_path: Path) -> None:
    first, second = tmp_path / "trunk", tmp_path / "tuned"
    for _ in train(supernet(), small_digits(), replace(SETTINGS, exit_weight=0.0), first):
        pass
    before, _ = load_supernet(first / "weights.safetensors")
    start, _ = load_supernet(first / "weights.safetensors")
    settings = replace(SETTINGS, exits_only=True, epochs=12, exit_weight=1.0, ema_decay=0.0)
    losses = [p.loss for p in train(start, small_digits(), settings, second)]
    assert losses
    after, _ = load_supernet(second / "weights.safetensors")
    for genes in np.concatenate([SPACE.largest, SPACE.smallest]):
        subnet = SPACE.subnet(genes)
        with torch.no_grad():
            old, new = before(images(), subnet), after(images(), subnet)
        assert torch.equal(old[-1], new[-1])
        assert not any(torch.equal(a, b) for a, b in zip(old[:-1], new[:-1], strict=True))
    with torch.no_grad():
        data = small_digits()
        x, y = data.normalise(data.validation.images), data.validation.labels
        largest = SPACE.subnet(SPACE.largest)
        losses = [
            sum(float(F.cross_entropy(out, y)) for out in net(x, largest)[:-1])
            for net in (before, after)
        ]
    assert losses[1] < 0.9 * losses[0]


# ---- what a person may get wrong -----------------------------------------------------------------


def test_an_unknown_divergence_is_named() -> None:
    with pytest.raises(InputError, match="distil must be kl, alpha or labels, got 'mse'"):
        TrainSettings(distil="mse")


def test_a_step_without_any_subnet_is_refused() -> None:
    with pytest.raises(InputError, match="without sandwich, n_random must be at least 1, got 0"):
        TrainSettings(sandwich=False, n_random=0)
