"""Latency as a sum over operators that were measured alone (a look-up table, LUT)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from search_spaces import Floats, InputError, Operators


@dataclass(frozen=True, order=True)
class Operator:
    """One operator of `Operators`; its string is the key of a table and is read back by `parse`."""

    kind: str
    c_in: int
    c_out: int
    kernel: int
    side_in: int
    side_out: int
    residual: bool = False
    groups: int = 1

    def __str__(self) -> str:
        """`conv-input:32x32x16-output:16x16x32-kernel:3-residual:0`, and `-groups:4` behind it."""
        a, b = self.side_in, self.side_out
        groups = f"-groups:{self.groups}" if self.groups > 1 else ""
        return (
            f"{self.kind}-input:{a}x{a}x{self.c_in}-output:{b}x{b}x{self.c_out}"
            f"-kernel:{self.kernel}-residual:{self.residual:d}{groups}"
        )

    @classmethod
    def parse(cls, text: str) -> Operator:
        """The operator that `str` wrote; InputError for anything else."""
        pattern = (
            r"([a-z]+)-input:(\d+)x\2x(\d+)-output:(\d+)x\4x(\d+)-kernel:(\d+)-residual:([01])"
            r"(?:-groups:(\d+))?"
        )
        found = re.fullmatch(pattern, text)
        if not found:
            raise InputError(f"{text!r} is no operator, expected for example {_EXAMPLE}")
        side_in, c_in, side_out, c_out, kernel, residual = map(int, found.groups()[1:7])
        groups = int(found[8] or 1)
        return cls(found[1], c_in, c_out, kernel, side_in, side_out, bool(residual), groups)


_EXAMPLE = str(Operator("conv", 16, 32, 3, 32, 16))


def programs_of(operators: Operators) -> list[list[Operator]]:
    """The operators of each of `n` programs, in order; InputError where layers are pruned."""
    o = operators
    if o.any_pruned:
        raise InputError("a table of operators has no entries for pruned layers")
    sizes = o.c_in, o.c_out, o.kernel, o.side_in, o.side_out, o.residual, o.groups
    columns = np.stack(sizes, axis=2)
    return [
        [
            _operator(kind, *values)
            for kind, values, on in zip(o.kinds, row.tolist(), present, strict=True)
            if on
        ]
        for row, present in zip(columns, o.present, strict=True)
    ]


def _operator(kind: str, *sizes: int) -> Operator:
    *five, residual, groups = sizes
    c_in, c_out, kernel, side_in, side_out = five
    return Operator(kind, c_in, c_out, kernel, side_in, side_out, bool(residual), groups)


class LutPredictor(BaseEstimator):
    """latency_ms of programs as `scale_ * sum of their operators + kernel_ms_ * their number`.

    `lut` maps keys to milliseconds. Programs are sequences of keys. The plain sum (scale 1, no
    time per kernel) errs in both directions: timed alone an operator pays for its call but finds
    its input in the cache. `fit` learns the two numbers from a few whole programs; before it
    `predict` refuses, and `sums` gives the plain sum.
    """

    def __init__(self, lut: Mapping[str, float]) -> None:
        self.lut = lut

    def sums(self, programs: Sequence[Sequence[object]]) -> Floats:
        """The sum of every program's entries (n,); InputError names the first missing key."""
        try:
            found = [[self.lut[str(key)] for key in program] for program in programs]
        except KeyError as error:
            raise InputError(
                f"the table of {len(self.lut)} operators has no {error.args[0]}; measure it with "
                "`nas measure --per-operator`"
            ) from None
        return np.array([sum(times) for times in found], dtype=float)

    def fit(self, programs: Sequence[Sequence[object]], latency_ms: ArrayLike) -> Self:
        """Learn from measured programs (n,): least squares of relative errors, nothing negative."""
        y = np.asarray(latency_ms, dtype=float)
        if len(y) != len(programs) or len(y) < 2 or not (y > 0).all():
            raise InputError(
                f"a table is fitted to at least two programs with positive latencies, got {len(y)}"
            )
        X = self._terms(programs)
        coefficients, _ = nnls(X / y[:, None], np.ones(len(y)))
        self.scale_, self.kernel_ms_ = map(float, coefficients)
        return self

    def predict(self, programs: Sequence[Sequence[object]]) -> Floats:
        """latency_ms (n,)."""
        check_is_fitted(self)
        latency_ms: Floats = self._terms(programs) @ np.array([self.scale_, self.kernel_ms_])
        return latency_ms

    def _terms(self, programs: Sequence[Sequence[object]]) -> Floats:
        numbers = np.array([len(program) for program in programs], dtype=float)
        return np.stack([self.sums(programs), numbers], axis=1)
