"""Which supernet belongs to which space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from search_spaces import InputError, MobileNetV3Space, ResNet50Space, ResNetSpace, Space
from supernets.mobilenetv3 import MobileNetV3Supernet
from supernets.resnet import ResNetSupernet
from supernets.resnet50 import ResNet50Supernet
from supernets.supernet import Supernet

_SUPERNETS: dict[type[Space], Callable[[Any], Supernet]] = {
    ResNetSpace: ResNetSupernet,
    MobileNetV3Space: MobileNetV3Supernet,
    ResNet50Space: ResNet50Supernet,
}


def register_supernet(space: type[Space], make: Callable[[Any], Supernet]) -> None:
    """Let `make(space)` build the supernet of every space of this type and of types below it.

    InputError where the type has another supernet already.
    """
    known = _SUPERNETS.setdefault(space, make)
    if known is not make:
        old, new = (getattr(f, "__qualname__", repr(f)) for f in (known, make))
        raise InputError(f"{space.__qualname__} has the supernet {old} already, {new} is refused")


def build_supernet(space: Space) -> Supernet:
    """The supernet of `space` with its initial weights; InputError where the space has none."""
    for kind in type(space).__mro__:
        if kind in _SUPERNETS:
            return _SUPERNETS[kind](space)
    raise InputError(
        f"the space {space.name} has no supernet, it comes with tables alone; "
        "`supernets.register_supernet` adds one"
    )


@cache
def random_supernet(space: Space) -> Supernet:
    """One untrained supernet of `space` in eval mode, kept: for costs, which no weight changes."""
    return build_supernet(space).eval()
