"""Names of spaces, and the way back from a file's description to a space."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from importlib.metadata import entry_points
from os import PathLike
from os.path import isfile
from pathlib import Path
from typing import Any

from search_spaces.block_sparse import BlockSparseSpace, block_sparse_space
from search_spaces.errors import InputError
from search_spaces.groups import GroupSpace
from search_spaces.mobilenetv3 import MobileNetV3Space
from search_spaces.nasbench201 import NASBench201Space
from search_spaces.ofa import OnceForAllSpace
from search_spaces.outside import json_object, read_tensor_header
from search_spaces.proxyless import ProxylessNASSpace
from search_spaces.ratios import ratio_space
from search_spaces.resnet import ResNetSpace, resnet_cifar, resnet_digits, resnet_for
from search_spaces.resnet50 import ResNet50Space
from search_spaces.space import Space
from search_spaces.traced import TracedSpace
from search_spaces.unit_ratios import unit_ratio_space

GROUP = "nas.spaces"  # of entry points

_SPACES: dict[str, Callable[..., Space]] = {
    "resnet-cifar": resnet_cifar,
    "resnet-digits": resnet_digits,
    "nasbench201": NASBench201Space,
    "ofa-mobilenetv3": MobileNetV3Space,
    "ofa-mobilenetv3-w1.2": partial(MobileNetV3Space, width_mult=1.2),
    "ofa-proxyless-w1.3": ProxylessNASSpace,
    "ofa-resnet50": ResNet50Space,
}
_KINDS: dict[str, Callable[..., Space]] = {
    "resnet": ResNetSpace,
    "blocks": BlockSparseSpace,
    "groups": GroupSpace,
    MobileNetV3Space.kind: MobileNetV3Space,
    ProxylessNASSpace.kind: ProxylessNASSpace,
    ResNet50Space.kind: ResNet50Space,
    TracedSpace.kind: TracedSpace,
}


def register_space(
    name: str, make: Callable[[], Space], *, kind: Callable[..., Space] | None = None
) -> None:
    """Let `name` stand for the space that `make()` returns, wherever a space is named.

    A checkpoint of a space with parameters needs `kind`, the dataclass that `space_from_dict`
    fills: its `to_dict` returns its fields and `"kind": name`. InputError where the name is taken.
    An installed package may name `make`, or a dataclass that is its own kind, as an entry point of
    the group `nas.spaces` instead: the command line then knows it too. Names of ours stay ours.
    """
    _add(_SPACES, name, make)
    if kind is not None:
        _add(_KINDS, name, kind)


def _add(known: dict[str, Callable[..., Space]], name: str, make: Callable[..., Space]) -> None:
    if known.setdefault(name, make) is not make:
        old, new = (f"{getattr(f, '__module__', '')}.{_name(f)}" for f in (known[name], make))
        raise InputError(f"the space {name!r} is registered already, by {old}; {new} needs another")


def _name(make: Callable[..., Space]) -> str:
    return getattr(make, "__qualname__", repr(make))


def space_names() -> list[str]:
    """Ours, then registered ones, then those of installed packages."""
    installed = [point.name for point in entry_points(group=GROUP)]
    return list(dict.fromkeys([*_SPACES, *installed]))


def _installed(name: str) -> Callable[..., Space] | None:
    """What an installed package has under `name`."""
    for point in entry_points(group=GROUP):
        if point.name == name:
            made: Callable[..., Space] = point.load()
            return made
    return None


def get_space(space: str | PathLike[str] | Space) -> Space:
    """The space of a name, or an own `Space` as it is; InputError lists the nearest names.

    The folder of a supernet, or its file of weights, stands for the space that is written there.
    `ofa-resnet50-x1.2` is `ofa-resnet50` with early exits behind its stages 1 and 2 (0-based),
    `ofa-mobilenetv3-r224` is `ofa-mobilenetv3` for images of 224 pixels alone,
    `ofa-mobilenetv3=SUBNET` that subnet alone,
    `resnet-28x28x1-10` the space for ten classes of 28x28 images with one channel, and
    `resnet-g4-28x28x1-10` or `alexnet-g4-28x28x1-10` four groups for the same images,
    `resnet-cifar-g4` an elastic ResNet in groups, `...-first2` the first two of them, and
    `resnet-cifar-blocks4-10.30.100` an elastic ResNet pruned in blocks.
    """
    if isinstance(space, Space):
        return space
    if not isinstance(space, str | PathLike):
        raise InputError(f"a space must be a name, a folder or a `Space`, got {space!r}")
    space = str(space)
    if make := _SPACES.get(space) or _installed(space):
        return make()
    if path := _weights(space):
        return _of_checkpoint(path)
    if images := re.fullmatch(r"resnet-(\d+)x\1x([13])-(\d+)", space):
        return resnet_for(*map(int, images.groups()))
    if images := re.fullmatch(r"([a-z]+)-g(\d+)-(\d+)x\3x([13])-(\d+)", space):
        return GroupSpace.of(images[1], *map(int, images.groups()[1:]))
    for read in (ratio_space, unit_ratio_space, block_sparse_space):
        if derived := read(space, get_space):
            return derived
    if part := re.fullmatch(r"(.+)-(g|first)([1-9]\d*)", space):
        return _grouped(get_space(part[1]), part[2], int(part[3]))
    if "=" in space:
        return _specialised(space)
    base, _, exits = space.partition("-x")
    base, _, sides = base.rpartition("-r") if base not in _SPACES else (base, "", "")
    if base == space or base not in _SPACES:
        near = difflib.get_close_matches(space, space_names(), n=3, cutoff=0.3)
        if not near:
            known = f"known: {', '.join(space_names())}, or the folder of a supernet"
            raise InputError(f"unknown space {space!r}; {known}; `nas spaces` describes them")
        raise InputError(
            f"unknown space {space!r}; did you mean {', '.join(near)}, or the folder of a supernet?"
            " `nas spaces` lists them"
        )
    found = _SPACES[base]()
    if not isinstance(found, OnceForAllSpace) or not (exits + sides).replace(".", "").isdecimal():
        raise InputError(
            f"unknown space {space!r}; exits are named like ofa-resnet50-x1.2, resolutions like "
            "ofa-mobilenetv3-r224"
        )
    found = found.with_resolutions(_numbers(sides)) if sides else found
    return found.with_exits(_numbers(exits))


def _grouped(base: Space, what: str, n: int) -> Space:
    """`base` in `n` groups, or the first `n` groups of it."""
    if what == "g":
        return GroupSpace.of(base, n)
    if not isinstance(base, GroupSpace) or n > base.n_groups:
        raise InputError(f"unknown space '{base.name}-first{n}': {base.name} has no {n} groups")
    return base.first(n)


def _specialised(name: str) -> Space:
    """`FAMILY=SUBNET`, with exits behind it where it has some."""
    family, _, text = name.partition("=")
    text, _, exits = text.partition("-x")
    found = get_space(family)
    side = re.search(r"-r(\d+)$", text)
    if not isinstance(found, OnceForAllSpace) or side is None:
        raise InputError(f"unknown space {name!r}: a network alone is once-for-all's")
    found = found.with_resolutions([int(side[1])])
    return found.specialised(found.parse(text)).with_exits(_numbers(exits))


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(".") if number]


def _weights(name: str) -> Path | None:
    """The weights that a path means."""
    paths = Path(name), Path(name) / "weights.safetensors"
    # not `p.is_file()`, which raises where the name of a space is too long for that of a file
    return next((p for p in paths if p.suffix == ".safetensors" and isfile(p)), None)


def _of_checkpoint(path: Path) -> Space:
    try:
        told = read_tensor_header(path).get("__metadata__", {})
        metadata = json_object(told.get("json", "{}"), path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    if not isinstance(metadata.get("space"), dict):
        raise InputError(f"{path} tells no space: it is no checkpoint of a supernet")
    return space_from_dict(metadata["space"])


def space_from_dict(values: Mapping[str, Any]) -> Space:
    """The space that `space.to_dict()` described, for example in a checkpoint."""
    name = values.get("kind", "")
    kind = _KINDS.get(name) or _installed(name)
    if not is_dataclass(kind):
        return get_space(values.get("name"))  # type: ignore[arg-type]
    named = {field.name for field in fields(kind)}
    return kind(**{k: _tuples(v) for k, v in values.items() if k in named})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
