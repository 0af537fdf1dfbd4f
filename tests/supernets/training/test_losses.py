"""Divergences between a student and its teacher."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from supernets.training.losses import MAX_RATIO, alpha_divergence, kl_divergence

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
