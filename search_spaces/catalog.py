"""Names of spaces, and the way back from a file's description to a space."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from search_spaces.errors import InputError
from search_spaces.nasbench201 import NASBench201Space
from search_spaces.resnet import ResNetSpace, resnet_cifar, resnet_digits
from search_spaces.space import Space

_SPACES: dict[str, Callable[[], Space]] = {
    "resnet-cifar": resnet_cifar,
    "resnet-digits": resnet_digits,
    "nasbench201": NASBench201Space,
}


def space_names() -> list[str]:
    return list(_SPACES)


def get_space(name: str) -> Space:
    """The space called `name`; InputError lists the nearest names."""
    if name not in _SPACES:
        near = difflib.get_close_matches(name, _SPACES, n=3, cutoff=0.3) or list(_SPACES)
        raise InputError(f"unknown space {name!r}; did you mean {', '.join(near)}?")
    return _SPACES[name]()


def space_from_dict(values: Mapping[str, Any]) -> Space:
    """The space that `space.to_dict()` described, for example in a checkpoint."""
    if values.get("kind") != "resnet":
        return get_space(values["name"])
    fields = {k: _tuples(v) for k, v in values.items() if k != "kind"}
    return ResNetSpace(**fields)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
