"""What `nas supernet train --kind` asks beside the images: options, and the space they make."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nas.given import check_not_given
from search_spaces import InputError

if TYPE_CHECKING:
    from search_spaces import BlockSparseSpace, GroupSpace, Space
    from supernets import Dataset

OPTIONS = {  # by their arguments: the kinds that they say something to
    "groups": ("groups",),
    "shape": ("groups",),
    "sparsities": ("blocks",),
    "g": ("blocks", "all-in-one"),
    **dict.fromkeys(
        ("ratios", "unit", "for_device", "levels", "frames", "n_ratios"), ("all-in-one",)
    ),
}
OF_DEVICE = ("levels", "frames", "n_ratios")


def check_options(kind: str, given: Iterable[str]) -> None:
    """InputError where one of the options `given` says nothing to this `kind`."""
    given = set(given)
    for name, kinds in OPTIONS.items():
        if kind not in kinds:
            check_not_given({name: name in given}, f"`kind` {kinds[0]}, this is {kind}")
    if "exits_only" in given and (kind != "elastic" or "start" not in given):
        raise InputError(
            "`exits_only` is for a finished supernet of `kind` elastic; give it as `start`"
        )
    if "for_device" not in given:
        check_not_given(
            {name: name in given for name in OF_DEVICE}, "`for_device`, which is not given"
        )


def supposed_side(data: Path | None, resolution: int | None) -> int:
    """The side of images before they are read, to refuse what no images allow.

    Where it is unknown, 32: the network of these takes all groups and blocks that others take.
    """
    from search_spaces import RESOLUTIONS

    if resolution is not None:
        return resolution if resolution in RESOLUTIONS else 32  # refused with the images
    return 8 if data is None else 32


def check_grouped(shape: str, groups: int, start: str | None, side: int) -> None:
    """InputError for what needs no images to be seen: they may take minutes to read."""
    from search_spaces import GroupSpace, get_space, space_names
    from supernets.pruning import check_groupable

    if start is not None:
        raise InputError("`start` gives whole networks; groups begin anew: leave it out")
    if shape in GroupSpace.shapes:
        GroupSpace.of(shape, groups, side)
        return
    if shape not in space_names():
        raise InputError(f"`shape` must be resnet, alexnet or one of `nas spaces`, got {shape!r}")
    check_groupable(shape)
    GroupSpace.of(get_space(shape), groups)


def grouped(shape: str, groups: int, dataset: Dataset) -> GroupSpace:
    """The space of `groups` groups for these images."""
    from search_spaces import GroupSpace, get_space

    images = dataset.resolution, dataset.channels, dataset.n_classes
    if shape in GroupSpace.shapes:
        return GroupSpace.of(shape, groups, *images)
    space = GroupSpace.of(get_space(shape), groups)
    if (space.resolution, space.in_channels, space.n_classes) != images:
        raise InputError(f"`shape` {shape} is for other images than `data` holds; try resnet")
    return space


def block_sparse(base: Space, g: int, sparsities: str) -> BlockSparseSpace:
    """The space of `base` with these sparsities; InputError: no elastic ResNet, no such numbers."""
    from search_spaces import BlockSparseSpace, ResNetSpace

    if type(base) is not ResNetSpace:
        raise InputError(f"blocks are for elastic ResNets; {base.name} is none")
    try:
        found = tuple(round(100 * (1 - float(part))) for part in sparsities.split(","))
    except (ValueError, OverflowError):  # `nan`, `inf`
        raise InputError(f"`sparsities` must look like 0,.7,.8,.9, got {sparsities!r}") from None
    if not all(1 <= density <= 100 for density in found):
        raise InputError(f"`sparsities` must be 0 or more and at most .99, got {sparsities}")
    return BlockSparseSpace.of(base, g, found)
