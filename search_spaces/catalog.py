"""Names of spaces, and the way back from a file's description to a space."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

from search_spaces.errors import InputError
from search_spaces.mobilenetv3 import MobileNetV3Space
from search_spaces.nasbench201 import NASBench201Space
from search_spaces.ofa import OnceForAllSpace
from search_spaces.resnet import ResNetSpace, resnet_cifar, resnet_digits, resnet_for
from search_spaces.resnet50 import ResNet50Space
from search_spaces.space import Space

_SPACES: dict[str, Callable[[], Space]] = {
    "resnet-cifar": resnet_cifar,
    "resnet-digits": resnet_digits,
    "nasbench201": NASBench201Space,
    "ofa-mobilenetv3": MobileNetV3Space,
    "ofa-mobilenetv3-w1.2": partial(MobileNetV3Space, width_mult=1.2),
    "ofa-resnet50": ResNet50Space,
}
_KINDS: dict[str, Callable[..., Space]] = {
    "resnet": ResNetSpace,
    MobileNetV3Space.kind: MobileNetV3Space,
    ResNet50Space.kind: ResNet50Space,
}


def space_names() -> list[str]:
    return list(_SPACES)


def get_space(name: str) -> Space:
    """The space called `name`; InputError lists the nearest names.

    `ofa-resnet50-x1.2` is `ofa-resnet50` with early exits behind its stages 1 and 2 (0-based),
    `resnet-28x28x1-10` the space for ten classes of 28x28 images with one channel.
    """
    if images := re.fullmatch(r"resnet-(\d+)x\1x([13])-(\d+)", name):
        return resnet_for(*map(int, images.groups()))
    base, marker, exits = name.partition("-x")
    if base not in _SPACES:
        near = difflib.get_close_matches(name, _SPACES, n=3, cutoff=0.3) or list(_SPACES)
        raise InputError(f"unknown space {name!r}; did you mean {', '.join(near)}?")
    space = _SPACES[base]()
    if not marker:
        return space
    if not isinstance(space, OnceForAllSpace) or not exits.replace(".", "").isdecimal():
        raise InputError(f"unknown space {name!r}; exits are named like ofa-resnet50-x1.2")
    return space.with_exits([int(stage) for stage in exits.split(".") if stage])


def space_from_dict(values: Mapping[str, Any]) -> Space:
    """The space that `space.to_dict()` described, for example in a checkpoint."""
    kind = _KINDS.get(values.get("kind", ""))
    if kind is None:
        return get_space(values["name"])
    named = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{k: _tuples(v) for k, v in values.items() if k in named})


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
