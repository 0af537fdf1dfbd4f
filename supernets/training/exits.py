"""Training of early exits on a trunk that stays as it is."""

from __future__ import annotations

from search_spaces import InputError
from supernets.supernet import Supernet


def train_exits_only(supernet: Supernet) -> None:
    """Freeze everything but the early exits.

    The logits of the last exit keep every bit, with or without later training: what BigNAS and
    HADAS (Bouzidi et al., 2023, arXiv:2212.03354) do after the supernet is trained. InputError:
    there is no early exit.
    """
    if not supernet.space.n_exits:
        raise InputError(f"`exits_only`: {supernet.space.name} has no early exit to train")
    supernet.requires_grad_(False)
    for head in list(supernet.heads)[:-1]:
        head.requires_grad_(True)
