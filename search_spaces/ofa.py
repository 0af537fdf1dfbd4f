"""What the once-for-all spaces share: optional exits, a resolution gene, OFA's configurations.

Once-for-all: Cai et al., 2020 (arXiv:1908.09791). Widths follow the public `ofa` package (MIT).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from search_spaces.errors import InputError
from search_spaces.outside import json_object
from search_spaces.space import GeneGroup
from search_spaces.stages import StagedSpace, Values
from search_spaces.subnet import Subnet

Config = Mapping[str, Any]
"""A subnet as OFA writes it, for example `{"ks": [7] * 20, "e": 6, "d": [4] * 5, "r": [224]}`."""


RESOLUTIONS = tuple(
    range(128, 225, 4)
)  # sides of the input image that the published supernets take
MIN_SIDE = 32  # five halvings


def divisible_by_8(channels: Any) -> Any:
    """`channels` rounded to a multiple of 8, up where rounding would lose more than 10 percent."""
    rounded = np.maximum(8, np.asarray(channels + 4, dtype=np.int64) // 8 * 8)
    return rounded + 8 * (rounded < 0.9 * np.asarray(channels))


@dataclass(frozen=True)
class OnceForAllSpace(StagedSpace):
    """Stages with a classifier behind the last, and an early exit behind each stage of `exits`."""

    n_classes: int = 1000
    resolutions: tuple[int, ...] = RESOLUTIONS
    exits: tuple[int, ...] = ()  # stages (0-based) that carry an early exit
    head_width: int = 320  # channels inside the heads of the early exits
    head_side: int = 7  # early heads pool their input to about this side before their convolution
    only: tuple[int, ...] = ()  # the genes of the one subnet of a specialised network

    kind = ""  # names the family in files
    in_channels = 3

    def __post_init__(self) -> None:
        if not set(self.exits) <= set(range(self.n_stages - 1)) or list(self.exits) != sorted(
            set(self.exits)
        ):
            raise InputError(
                f"exits must rise and lie in 0..{self.n_stages - 2} (the last stage has the final "
                f"classifier), got {self.exits}"
            )
        sides = self.resolutions
        if not sides or list(sides) != sorted(set(sides)) or sides[0] < MIN_SIDE:
            raise InputError(
                f"resolutions must rise and be at least {MIN_SIDE} pixels, got {sides}"
            )

    @property
    @abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Channels of every stage in the largest subnet."""

    @abstractmethod
    def from_ofa(self, config: Config) -> Subnet:
        """The subnet of one of OFA's configurations; InputError names what is wrong with it."""

    @abstractmethod
    def to_ofa(self, subnet: Subnet) -> dict[str, Any]:
        """OFA's configuration of `subnet`; entries of skipped blocks are 0."""

    @property
    def family(self) -> str:
        """The name without resolutions and exits."""
        return self.kind

    @property
    def name(self) -> str:  # type: ignore[override]
        """The family, `-r224` where not all resolutions are allowed, `-x1.2` for early exits.

        Of a specialised network it is the family, `=` and the subnet.
        """
        if self.only:
            exits = "-x" + ".".join(map(str, self.exits)) if self.exits else ""
            return f"{self.family}={self.subnet(self.only)}{exits}"
        own = self.resolutions if self.resolutions != RESOLUTIONS else ()
        parts = (
            f"-{letter}" + ".".join(map(str, v))
            for letter, v in (("r", own), ("x", self.exits))
            if v
        )
        return self.family + "".join(parts)

    def parse(self, text: str) -> Subnet:
        """What `str` wrote, or one of OFA's configurations as JSON: `{"ks": ...}`, `net.config`."""
        if not text.lstrip().startswith("{"):
            return super().parse(text)
        return self.from_ofa(json_object(text, f"the configuration of a subnet of {self.name}"))

    def with_exits(self, exits: Sequence[int]) -> Self:
        """This space with early exits behind the stages `exits`."""
        return replace(self, exits=tuple(exits))

    def specialised(self, subnet: Subnet) -> Self:
        """The space of `subnet` alone, and of the exits that are put behind its stages."""
        return replace(self, only=tuple(self.genes([subnet])[0].tolist()))

    def narrowed(self, *groups: GeneGroup) -> tuple[GeneGroup, ...]:
        """`groups`, with one choice each where there is only one subnet."""
        if not self.only:
            return groups
        values = iter(self.only)
        return tuple(
            replace(g, choices=tuple((next(values) or choices[0],) for choices in g.choices))
            for g in groups
        )

    def with_resolutions(self, resolutions: Sequence[int]) -> Self:
        """This space with these sides of the image alone."""
        return replace(self, resolutions=tuple(resolutions))

    def exit_width(self, exit_: int) -> int:
        return self.head_width

    def image_side(self, values: Values) -> Any:
        return values["r"][0]

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return self.in_channels, subnet["r"][0], subnet["r"][0]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, **asdict(self)}

    # ---- OFA's configurations ----------------------------------------------------------------

    def read(self, config: Config, key: str, n: int, *, ratio: bool = False) -> list[float]:
        """The `n` numbers of `key`, whole unless `ratio`; one number stands for all, as in OFA."""
        values: Any = config.get(key)
        listed: list[Any] = (
            list(values) if isinstance(values, Sequence | np.ndarray) else [values] * n
        )
        number = all(isinstance(v, int | float | np.number) for v in listed)
        number = number and all(-1e9 < v < 1e9 for v in listed)
        if len(listed) != n or not number or not (ratio or all(v == int(v) for v in listed)):
            raise InputError(
                f"{key} of a configuration of {self.name} must be {n} "
                f"{'ratios' if ratio else 'whole numbers'} or one for all, got {repr(values)[:200]}"
            )
        return listed

    def read_resolution(self, config: Config) -> int:
        """`image_size` or `r` as a number or a list of one; the largest where there is neither."""
        keys = [key for key in ("image_size", "r") if config.get(key) is not None]
        values = {int(self.read(config, key, 1)[0]) for key in keys} or {max(self.resolutions)}
        if len(values) > 1:
            raise InputError(f"image_size and r of a configuration differ: {sorted(values)}")
        return values.pop()

    def check_keys(self, config: Config, known: Sequence[str]) -> None:
        """InputError for a key that is none of `known` and says something."""
        unknown = [key for key, v in config.items() if key not in known and v is not None]
        if unknown:
            raise InputError(
                f"a configuration of {self.name} has {', '.join(known)}, found {', '.join(unknown)}"
            )
