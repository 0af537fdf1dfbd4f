"""What the once-for-all spaces share: optional exits, a resolution gene, OFA's configurations.

Once-for-all: Cai et al., 2020 (arXiv:1908.09791). Widths follow the public `ofa` package (MIT).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from search_spaces.arrays import Bools, Genes, Ints
from search_spaces.errors import InputError
from search_spaces.operators import Slot
from search_spaces.space import Space
from search_spaces.subnet import Subnet

Config = Mapping[str, Any]
"""A subnet as OFA writes it, for example `{"ks": [7] * 20, "e": 6, "d": [4] * 5, "r": [224]}`."""


def divisible_by_8(channels: Any) -> Any:
    """`channels` rounded to a multiple of 8, up where rounding would lose more than 10 percent."""
    rounded = np.maximum(8, np.asarray(channels + 4, dtype=np.int64) // 8 * 8)
    return rounded + 8 * (rounded < 0.9 * np.asarray(channels))


def half(side: Any) -> Any:
    """Side behind a layer of stride 2 that pads its input."""
    return (side + 1) // 2


@dataclass(frozen=True)
class OnceForAllSpace(Space):
    """Stages with a classifier behind the last, and an early exit behind each stage of `exits`."""

    n_classes: int = 1000
    resolutions: tuple[int, ...] = tuple(range(128, 225, 4))  # sides of the input image
    exits: tuple[int, ...] = ()  # stages (0-based) that carry an early exit
    head_width: int = 320  # channels inside the heads of the early exits
    head_side: int = 7  # early heads pool their input to about this side before their convolution

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

    @property
    @abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Channels of every stage in the largest subnet."""

    @property
    @abstractmethod
    def gene_stages(self) -> Ints:
        """The stage of every gene, -1 for those that all programs depend on, `(genes,)`."""

    @abstractmethod
    def first_slot(self, stage: int) -> int:
        """The index of the stage's first block among all block slots."""

    @abstractmethod
    def from_ofa(self, config: Config) -> Subnet:
        """The subnet of one of OFA's configurations; InputError names what is wrong with it."""

    @abstractmethod
    def to_ofa(self, subnet: Subnet) -> dict[str, Any]:
        """OFA's configuration of `subnet`; entries of skipped blocks are 0."""

    @property
    def family(self) -> str:
        """The name without exits."""
        return self.kind

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.family + ("-x" + ".".join(map(str, self.exits)) if self.exits else "")

    @property
    def n_stages(self) -> int:
        return 1 + int(self.gene_stages.max())

    @property
    def n_exits(self) -> int:  # type: ignore[override]
        return len(self.exits)

    def with_exits(self, exits: Sequence[int]) -> Self:
        """This space with early exits behind the stages `exits`."""
        return replace(self, exits=tuple(exits))

    def segment(self, stage: int) -> int:
        """The segment that computes `stage`: segment k ends at exit k."""
        return sum(stage > exit_ for exit_ in self.exits)

    def stages(self, segment: int) -> range:
        """The stages of a segment."""
        ends = [0, *(exit_ + 1 for exit_ in self.exits), self.n_stages]
        return range(ends[segment], ends[segment + 1])

    def reached(self, heads: Bools) -> Bools:
        """Which stages the programs compute: all up to their deepest exit, `(n, n_stages)`."""
        segments = np.logical_or.accumulate(heads[:, ::-1], axis=1)[:, ::-1]
        return segments[:, [self.segment(stage) for stage in range(self.n_stages)]]

    def used_genes(self, heads: Bools) -> Bools:
        return (self.gene_stages < 0) | self.reached(heads)[:, self.gene_stages]

    def by_letter(self, genes: Genes) -> dict[str, Genes]:
        """The genes of every group, `(n, slots)` by its letter."""
        ends = np.cumsum([len(group.choices) for group in self.groups])[:-1]
        parts = np.split(genes, ends, axis=1)
        return {group.letter: part for group, part in zip(self.groups, parts, strict=True)}

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return self.in_channels, subnet["r"][0], subnet["r"][0]

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, **asdict(self)}

    # ---- early exits -------------------------------------------------------------------------

    def head_slots(self, stage: int, c_in: Any, side: Ints, heads: Bools) -> list[Slot]:
        """The head behind `stage` where it carries an exit: pool, 3x3 convolution, classifier."""
        if stage not in self.exits:
            return []
        k = self.exits.index(stage)
        on, hidden, factor = heads[:, k], self.head_width, np.maximum(1, side // self.head_side)
        pooled = side // factor
        return [
            Slot("pool", k, c_in, c_in * on * (factor > 1), factor, side, pooled),
            Slot("conv", k, c_in, hidden * on, 3, pooled, half(pooled)),
            Slot("pool", k, hidden, hidden * on, half(pooled), half(pooled), 1),
            Slot("linear", k, hidden, self.n_classes * on, 1, 1, 1),
        ]

    # ---- OFA's configurations ----------------------------------------------------------------

    def read(self, config: Config, key: str, n: int, *, ratio: bool = False) -> list[float]:
        """The `n` numbers of `key`, whole unless `ratio`; one number stands for all, as in OFA."""
        values: Any = config.get(key)
        listed = list(values) if isinstance(values, Sequence | np.ndarray) else [values] * n
        number = all(isinstance(v, int | float | np.number) for v in listed)
        if len(listed) != n or not number or not (ratio or all(v == int(v) for v in listed)):
            raise InputError(
                f"{key} of a configuration of {self.name} must be {n} "
                f"{'ratios' if ratio else 'whole numbers'} or one for all, got {values!r}"
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
