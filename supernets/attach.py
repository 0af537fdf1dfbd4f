"""Early exits for a network that was trained without them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from search_spaces import InputError, OnceForAllSpace
from supernets.catalog import build_supernet
from supernets.supernet import Supernet


def attach_exits(
    supernet: Supernet, exits: Sequence[int], *, n_classes: int | None = None
) -> Supernet:
    """A new supernet with a copy of the trunk and new heads behind the stages `exits` (0-based).

    The final classifier is copied too, but for its last layer where `n_classes` differs.
    InputError: the family has no optional exits, or there are exits already.
    """
    space = supernet.space
    if not isinstance(space, OnceForAllSpace) or space.exits:
        raise InputError(f"{space.name} has its exits already; attach them to an imported network")
    n_classes = n_classes or space.n_classes
    new = build_supernet(replace(space.with_exits(exits), n_classes=n_classes))
    state = {
        key.replace("heads.0.", f"heads.{len(exits)}.", 1): value
        for key, value in supernet.state_dict().items()
        if n_classes == space.n_classes or not key.startswith("heads.0.linear.")
    }
    new.load_state_dict(state, strict=False)
    return new.train(supernet.training)
