"""What a traced network is written down as: its calls, their values and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from search_spaces import InputError


class NotUnderstood(InputError):
    """A network cannot be wrapped; the message names the module."""


class Value(NamedTuple):
    """What an operation made, by its number."""

    number: int


class Weight(NamedTuple):
    """A parameter or buffer by its qualified name, perhaps in another shape."""

    name: str
    tensor: Tensor


@dataclass
class Call:
    """One operation; `shape` is that of its output, without the batch."""

    name: str
    kind: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)  # by their names in the elastic layer


class Build(Protocol):
    """Where the rules write calls down."""

    def add(
        self,
        name: str,
        kind: str,
        inputs: tuple[Value, ...],
        real: Tensor,
        weights: Mapping[str, Tensor | None] | None = None,
        **options: Any,
    ) -> Value:
        """Write a call down, with the tensor that it made of an example."""

    def use(self, name: str) -> None:
        """Take a weight; NotUnderstood where it is taken already."""

    def shape(self, value: Value) -> tuple[int, ...]:
        """Of a value, without the batch."""
