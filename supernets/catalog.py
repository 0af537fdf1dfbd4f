"""Which supernet belongs to which space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from search_spaces import (
    BlockSparseSpace,
    GroupSpace,
    InputError,
    MobileNetV3Space,
    ProxylessNASSpace,
    RatioSpace,
    ResNet50Space,
    ResNetSpace,
    Space,
    UnitRatioSpace,
)
from search_spaces.traced import TracedSpace
from supernets.all_in_one import AllInOneSupernet
from supernets.block_sparse import BlockSparseSupernet
from supernets.grouped import GroupedSupernet
from supernets.mobilenetv3 import MobileNetV3Supernet
from supernets.proxyless import ProxylessNASSupernet
from supernets.resnet import ResNetSupernet
from supernets.resnet50 import ResNet50Supernet
from supernets.supernet import Supernet
from supernets.traced.network import TracedSupernet
from supernets.unit_ratios import UnitSupernet

GROUP = "nas.supernets"  # of entry points

# what `nas supernet train --kind` makes; `Supernet.kind` is one of them
KINDS = ("elastic", "all-in-one", "groups", "blocks")

_SUPERNETS: dict[type[Space], Callable[[Any], Supernet]] = {
    ResNetSpace: ResNetSupernet,
    RatioSpace: AllInOneSupernet,
    UnitRatioSpace: UnitSupernet,
    BlockSparseSpace: BlockSparseSupernet,
    MobileNetV3Space: MobileNetV3Supernet,
    ProxylessNASSpace: ProxylessNASSupernet,
    ResNet50Space: ResNet50Supernet,
    GroupSpace: GroupedSupernet,
    TracedSpace: TracedSupernet,
}


def register_supernet(space: type[Space], make: Callable[[Any], Supernet]) -> None:
    """Let `make(space)` build the supernet of every space of this type and of types below it.

    InputError where the type has another supernet already. An installed package may name `make` as
    an entry point of the group `nas.supernets` instead, under the name or the kind of the space.
    """
    known = _SUPERNETS.setdefault(space, make)
    if known is not make:
        old, new = (getattr(f, "__qualname__", repr(f)) for f in (known, make))
        raise InputError(f"{space.__qualname__} has the supernet {old} already, {new} is refused")


def build_supernet(space: Space) -> Supernet:
    """The supernet of `space` with its initial weights; InputError where the space has none."""
    if make := _SUPERNETS.get(type(space)) or _installed(space) or _inherited(type(space)):
        return make(space)
    raise InputError(
        f"the space {space.name} has no supernet, it comes with tables alone; "
        "`supernets.register_supernet` adds one"
    )


def _installed(space: Space) -> Callable[[Any], Supernet] | None:
    """What an installed package has for `space`."""
    names = {space.name, space.to_dict().get("kind")}
    for point in entry_points(group=GROUP):
        if point.name in names:
            made: Callable[[Any], Supernet] = point.load()
            return made
    return None


def _inherited(space: type[Space]) -> Callable[[Any], Supernet] | None:
    """The supernet of the nearest type that `space` inherits from."""
    return next((_SUPERNETS[kind] for kind in space.__mro__ if kind in _SUPERNETS), None)


@cache
def random_supernet(space: Space) -> Supernet:
    """One untrained supernet of `space` in eval mode, kept: for costs, which no weight changes."""
    return build_supernet(space).eval()
