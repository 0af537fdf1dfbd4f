"""Errors of a table from outside: a fraction or an accuracy under an error's name is found here."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from predictors.dialect import TableError
from predictors.metrics import srcc
from search_spaces import Bools, Floats, InputError, Space

NAME_IT = "name the column top1_acc_pct (accuracy in percent) or top1_error (a fraction)"
FEW = 8  # rows that rank nothing
AGAINST = 0.3  # rank correlation of error with work that is none of errors
APART = 20.0  # times that fractions lie below the other rows


def check_errors(path: Path, errors: pd.Series, space: Space, subnets: list[str]) -> None:
    """TableError where `errors` (by line of `path`, in percent) can be no errors of `subnets`.

    What is merely odd is a warning.
    """
    values, where = errors.to_numpy(dtype=float), errors.index
    chance = 100 * (1 - 1 / space.n_classes)
    if 0 < values.max() <= 1:
        raise TableError(
            f"{path}: top1_error_pct is at most {values.max():g} in all {len(values)} rows, which "
            f"looks like a fraction; it is an error in percent: {NAME_IT}"
        )
    if not values.any():
        raise TableError(f"{path}: top1_error_pct is 0 in all {len(values)} rows; look at the file")
    median = float(np.median(values))
    if median > chance + 1:
        raise TableError(
            f"{path}: top1_error_pct has a median of {median:.4g}, worse than the {chance:g} of "
            f"guessing among {space.n_classes} classes; is it an accuracy? {NAME_IT}"
        )
    some = _fractions(values)
    if some.any():
        raise TableError(
            f"{path} line {where[some][0]}: top1_error_pct is {values[some][0]:g}, far below the "
            f"other rows ({int(some.sum())} such rows): a fraction among percents? {NAME_IT}"
        )
    worse = values > chance + 2
    if values.min() > chance / 2 and (worse.any() or _grows_with_work(values, space, subnets)):
        raise TableError(
            f"{path}: top1_error_pct is {values.min():g} at best, and grows with the size of the "
            f"network or is worse than guessing; is it an accuracy? {NAME_IT}"
        )
    if worse.any():
        warnings.warn(
            f"{path} line {where[worse][0]}: top1_error_pct is {values[worse][0]:g}, worse than "
            f"guessing among {space.n_classes} classes ({int(worse.sum())} such rows)",
            stacklevel=2,
        )


def _fractions(values: Floats) -> Bools:
    """Rows of at most 1 that a wide gap parts from all others, which lie where percents do."""
    small: Bools = (values > 0) & (values <= 1)
    rest = values[(values > 1)]
    if not small.any() or not len(rest) or rest.min() < APART * np.median(values[small]):
        return np.zeros(len(values), dtype=bool)
    return small


def _grows_with_work(values: Floats, space: Space, subnets: list[str]) -> bool:
    if len(values) < FEW:
        return False
    genes = space.parse_all(subnets)
    heads = np.ones((len(genes), space.n_exits + 1), dtype=bool)
    try:
        work = space.operators(genes, heads).macs.sum(axis=1)
    except InputError:  # a space of others that counts nothing
        return False
    return srcc(work.astype(float), values) > AGAINST
