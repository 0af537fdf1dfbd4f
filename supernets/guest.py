"""A network of the user's: what is inside its wrappers, and that it is left as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from search_spaces import InputError

_PARALLEL = nn.DataParallel, nn.parallel.DistributedDataParallel


def bare(net: Any, name: str = "`net`") -> nn.Module:
    """`net` without what `torch.compile`, DataParallel and DDP put around it.

    InputError, with `name`: it is no torch network.
    """
    while isinstance(net, _PARALLEL) or hasattr(net, "_orig_mod"):
        net = net.module if isinstance(net, _PARALLEL) else net._orig_mod
    if not isinstance(net, nn.Module):
        raise InputError(f"{name} must be a torch network, got {type(net).__name__}")
    return net


def copied(net: nn.Module) -> nn.Module:
    """A copy of its own; InputError where a weight is computed, so that torch makes none."""
    try:
        return copy.deepcopy(net)
    except RuntimeError as error:  # torch.nn.utils.weight_norm after a call
        reason = " ".join(str(error).partition(".")[0].split())
        raise InputError(f"{type(net).__name__} cannot be copied: {reason}") from None


@contextmanager
def in_eval(net: nn.Module) -> Iterator[None]:
    """`net` in eval mode inside; afterwards every module is in the mode that it had.

    `net.train()` would put a batch norm that was frozen into training mode.
    """
    in_training = [module for module in net.modules() if module.training]
    net.eval()
    try:
        yield
    finally:
        for module in in_training:
            module.training = True
