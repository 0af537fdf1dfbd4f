"""What one measurement is asked to do: flat, typed, without knowledge of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from nas.files import check_apart
from nas.given import check_not_given, positive_number, whole_number
from search_spaces import InputError

Kind = tuple[str | None, str | None, int | None]  # backend, precision, batch; None: the usual one


@dataclass(frozen=True)
class MeasureSettings:
    """Inputs of `nas measure`; paths are read and names are looked up when it runs.

    Either `of` says what is measured, a plan or a pareto.json, or `device` and `space` do.
    """

    out: Path
    device: str | None = None
    space: str | None = None
    of: Path | None = None
    n_points: int | None = None  # of every level of a pareto.json; None: all
    samples: int | None = None  # subnets; None: 320
    levels: tuple[int, ...] | None = (-1,)  # negative ones count from the fastest; None: all
    backends: tuple[str | None, ...] = (None,)
    precisions: tuple[str | None, ...] = (None,)
    batches: tuple[int | None, ...] = (None,)
    power_mode: str | None = None
    remote: str | None = None  # USER@HOST of a board behind ssh
    sudo: bool = False
    ray: str | None = None
    repeats: int = 1
    per_operator: bool = False
    against: Path | None = None
    ofa_lut: Path | None = None
    redo_noisy: bool = False
    power_log: Path | None = None  # of a tool that ran beside: energy for rows without it
    seconds: float | None = None  # per row; None: 0.3, what a board needs
    threads: int | None = None  # of this machine or its nodes; None: 1
    seed: int = 0
    command: str = ""  # as typed; empty from Python

    def __post_init__(self) -> None:
        counts = [(name, getattr(self, name)) for name in ("samples", "repeats", "threads")]
        for name, value in (*counts, *(("batch", batch) for batch in self.batches)):
            if value is not None:
                whole_number(name, value, 1)
        whole_number("seed", self.seed, 0)
        if self.seconds is not None:
            positive_number("seconds", self.seconds)
        if self.remote is None:
            check_not_given({"sudo": self.sudo}, "a board: give `remote` too")
        if self.against is not None and not self.per_operator:
            raise InputError(
                "`against` compares a table of operators: give `per_operator=True` too"
            )
        if self.against is not None:
            check_apart("out", self.out, self.against)
        if self.of is not None:
            self._check_file(self.of)
            return
        if self.n_points is not None:
            raise InputError(
                "`n_points` chooses points of a result: name its pareto.json with `of`"
            )
        if self.device is None or self.space is None:
            raise InputError("give `device` and `space`, or a plan or a pareto.json with `of`")
        if self.ray is not None and (self.device != "host" or self.remote is not None):
            raise InputError(
                "`ray` measures on nodes of a cluster: give `device` host, no `remote`"
            )

    def _check_file(self, of: Path) -> None:
        if self.samples is not None or self.per_operator or self.ofa_lut is not None:
            raise InputError("`of` says what is measured: leave out `samples` and look-up tables")
        if self.out.resolve() == of.resolve():
            raise InputError(f"`out` is the file that `of` reads, {of}; name another for the rows")
        for name, given in (
            ("backend", self.backends),
            ("precision", self.precisions),
            ("batch", self.batches),
        ):
            if len(given) > 1:
                raise InputError(f"`of` measures with one `{name}`, got {len(given)}")

    @property
    def kinds(self) -> list[Kind]:
        """Every asked backend with every precision and batch."""
        return list(product(self.backends, self.precisions, self.batches))
