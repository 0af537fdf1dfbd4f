"""How much a student's logits differ from what it should learn."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Divergence = Callable[[Tensor, Tensor], Tensor]
"""(student logits (N, classes), teacher probabilities (N, classes)) -> mean loss, a scalar."""

MAX_RATIO = 5.0  # AlphaNet's beta: bounds the weight of classes that one of both finds unlikely


def kl_divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with soft labels: the Kullback-Leibler divergence up to a constant."""
    return F.cross_entropy(logits, teacher)


def alpha_divergence(logits: Tensor, teacher: Tensor) -> Tensor:
    """The larger of the divergences with alpha -1 and 1 of every sample (Wang et al., 2021).

    Alpha 1 punishes a student that misses what the teacher thinks likely, alpha -1 one that is
    sure of what the teacher thinks unlikely (AlphaNet, arXiv:2102.07954, equations 5 to 7). The
    result has the gradient of the chosen divergence, not its value.
    """
    log_q = F.log_softmax(logits, dim=1)
    with torch.no_grad():
        q, log_p = log_q.exp(), teacher.clamp_min(1e-12).log()
        ratio = (log_p - log_q).exp()  # p / q
        forward = (teacher * (log_p - log_q)).sum(dim=1)
        inverse = (1 / ratio).clamp(max=MAX_RATIO)
        backward = 0.5 * (q * (inverse - 1)).sum(dim=1)
        use_backward = backward > forward
    forward_loss = -(teacher * log_q).sum(dim=1)
    backward_loss = (q * inverse * log_q).sum(dim=1)
    return torch.where(use_backward, backward_loss, forward_loss).mean()


DIVERGENCES: dict[str, Divergence] = {"kl": kl_divergence, "alpha": alpha_divergence}
