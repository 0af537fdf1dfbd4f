"""Error and exit rates of subnets that were never evaluated: one prediction gives all policies."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import safetensors.numpy
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.model_selection import KFold
from sklearn.utils.validation import check_is_fitted
from xgboost import XGBRegressor

from predictors.accuracy.table import AccuracyTable
from predictors.artifacts import (
    ArtifactError,
    dump_trees,
    faults_named,
    load_trees,
    read_artifact,
    write_artifact,
)
from predictors.kernel import KernelRegressor
from search_spaces import Bools, Floats, Genes, PolicyGrid, Space, encode, feature_names

SCHEMA = "nas.accuracy_predictor/1"
NAME = "accuracy_predictor"
MIN_ROWS_TO_COMPARE = 12
MAX_KERNEL_ROWS = 1500  # its eigendecompositions then take seconds


class AccuracyPredictor(BaseEstimator):
    """Top-1 error and exit rates under every policy, from the first principal components.

    A subnet's response [errors | rates] over all policies is one vector; its components are
    predicted from the features of the whole network. `regressor` is "kernel" (smooth: the subnets
    of one supernet), "xgboost" (rough: networks that were trained one by one) or "auto", whichever
    predicts held-out errors better.
    """

    def __init__(self, space: Space, *, regressor: str = "auto", n_components: int = 12) -> None:
        self.space, self.regressor, self.n_components = space, regressor, n_components

    def fit(self, table: AccuracyTable) -> Self:
        """Learn from the evaluated subnets of `table`."""
        self.kind_ = self._better_kind(table) if self.regressor == "auto" else self.regressor
        self.grid_, self.n_rows_ = table.grid, len(table)
        self.supernet_sha256_, self.table_sha256_ = table.supernet_sha256, table.sha256
        blocks = _blocks(table)
        # Errors and rates get the same total variance, whatever their units and numbers.
        spread = [np.sqrt(block.var(axis=0, dtype=float).sum()) or 1.0 for block in blocks]
        self.scale_ = np.repeat(spread, [b.shape[1] for b in blocks]).astype(np.float32)
        response = np.concatenate(blocks, axis=1) / self.scale_
        with np.errstate(invalid="ignore"):  # one subnet has no variance
            pca = PCA(min(self.n_components, *response.shape), random_state=0).fit(response)
        self.mean_, self.components_ = pca.mean_, pca.components_
        self.model_ = _regressor(self.kind_)
        self.model_.fit(self._features(table.genes), pca.transform(response))
        return self

    def predict(self, genes: Genes) -> tuple[Floats, Floats]:
        """Error in percent `(n, P)` and exit rates `(n, P, E + 1)` of canonical subnets."""
        check_is_fitted(self)
        response = self._response(self.model_.predict(self._features(genes)))
        n_policies = len(self.grid_)
        rate = response[:, n_policies:].reshape(len(genes), n_policies, -1)
        return response[:, :n_policies].clip(0, 100), _as_rates(rate, self.grid_)

    def predict_left_out(self, table: AccuracyTable) -> Floats:
        """Error in percent `(n, P)` of the rows that it was fitted to, by what the others say.

        Of a kernel alone, which knows it without another fit.
        """
        scores = (np.concatenate(_blocks(table), axis=1) / self.scale_ - self.mean_) @ (
            self.components_.T
        )
        response = self._response(scores - self.model_.left_out(scores))
        return response[:, : len(self.grid_)].clip(0, 100)

    def cross_validate(self, table: AccuracyTable, *, n_splits: int = 5) -> dict[str, float]:
        """Held-out quality over `n_splits` folds of subnets, or as many as there are.

        `mape_pct` and `mae_pct` (points) of the error, its `srcc` between subnets (mean over
        policies), and `rate_mae`, the mean absolute error of an exit rate. Nothing of one subnet.
        """
        if len(table) < 2:
            return {}
        error, rate = np.empty_like(table.top1_error_pct), np.empty_like(table.exit_rate)
        folds = KFold(min(n_splits, len(table)), shuffle=True, random_state=0)
        for train, test in folds.split(table.genes):
            error[test], rate[test] = clone(self).fit(table[train]).predict(table.genes[test])
        gap = np.abs(error - table.top1_error_pct)
        return {
            "mape_pct": float(100 * np.mean(gap / np.maximum(table.top1_error_pct, 0.1))),
            "mae_pct": float(gap.mean()),
            "srcc": _mean_srcc(error, table.top1_error_pct),
            "rate_mae": float(np.abs(rate - table.exit_rate).mean()),
        }

    def save(self, folder: Path | str) -> None:
        """Write `accuracy_predictor.{json,safetensors}`, and `.ubj` where trees were fitted."""
        check_is_fitted(self)
        arrays = {"scale": self.scale_, "mean": self.mean_, "components": self.components_}
        files = {}
        if isinstance(self.model_, KernelRegressor):
            arrays |= {f"kernel.{k}": v for k, v in self.model_.to_arrays().items()}
        else:
            files["ubj"] = dump_trees(self.model_)
        arrays = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
        files["safetensors"] = safetensors.numpy.save(arrays)
        described = {
            "schema": SCHEMA,
            "space": self.space.name,
            "feature_names": feature_names(self.space),
            "regressor": self.kind_,
            "n_components": self.n_components,
            "n_exits": self.grid_.n_exits,
            "thresholds": self.grid_.thresholds,
            "n_rows": self.n_rows_,
            "supernet_sha256": self.supernet_sha256_,
            "table_sha256": self.table_sha256_,
        }
        write_artifact(Path(folder), NAME, files, described)

    @classmethod
    def load(cls, folder: Path | str, space: Space) -> Self:
        """What `save` wrote for `space`; ArtifactError (an InputError) for anything else."""
        files, described = read_artifact(Path(folder), NAME, SCHEMA, space)
        with faults_named(Path(folder) / f"{NAME}.json"):
            kind = described["regressor"]
            predictor = cls(space, regressor=kind, n_components=described["n_components"])
            predictor.grid_ = PolicyGrid(described["n_exits"], tuple(described["thresholds"]))
            predictor.kind_, predictor.n_rows_ = kind, described["n_rows"]
            predictor.supernet_sha256_ = described["supernet_sha256"]
            predictor.table_sha256_ = described["table_sha256"]
            arrays = safetensors.numpy.load(files["safetensors"])
            predictor.scale_, predictor.mean_ = arrays["scale"], arrays["mean"]
            predictor.components_ = arrays["components"]
            if kind == "kernel":
                learned = {k[7:]: v for k, v in arrays.items() if k.startswith("kernel.")}
                predictor.model_ = KernelRegressor.from_arrays(learned)
            else:
                predictor.model_ = load_trees(files["ubj"])
        return predictor

    def _response(self, scores: Floats) -> Floats:
        """Errors and rates `(n, P + P (E + 1))` of scores on the components."""
        scores = scores.reshape(len(scores), -1).astype(np.float32)
        response: Floats = (scores @ self.components_ + self.mean_) * self.scale_
        return response

    def _features(self, genes: Genes) -> Floats:
        return encode(self.space, genes, np.ones((1, self.space.n_exits + 1), dtype=bool))

    def _better_kind(self, table: AccuracyTable) -> str:
        if len(table) < MIN_ROWS_TO_COMPARE:
            return "kernel"
        if len(table) > MAX_KERNEL_ROWS:
            return "xgboost"
        gap = {}
        for kind in ("kernel", "xgboost"):
            candidate = clone(self).set_params(regressor=kind)
            gap[kind] = candidate.cross_validate(table, n_splits=3)["mae_pct"]
        return min(gap, key=gap.__getitem__)


def lookup(
    table: AccuracyTable, predictor: AccuracyPredictor, genes: Genes
) -> tuple[Floats, Floats, Bools]:
    """Error `(n, P)`, exit rates `(n, P, E + 1)`, and which subnets `(n,)` were evaluated.

    An evaluated subnet answers with its own row of `table`, any other with the prediction.
    """
    theirs = predictor.supernet_sha256_, predictor.table_sha256_
    if theirs != (table.supernet_sha256, table.sha256):
        raise ArtifactError(
            "the accuracy predictor was fitted on another accuracy table or supernet "
            f"(table {theirs[1]}, asked {table.sha256}); fit it again"
        )
    row = table.rows(genes)
    known = row >= 0
    error = np.empty((len(row), len(table.grid)), dtype=np.float32)
    rate = np.empty((*error.shape, table.grid.n_exits + 1), dtype=np.float32)
    error[known], rate[known] = table.top1_error_pct[row[known]], table.exit_rate[row[known]]
    if not known.all():
        error[~known], rate[~known] = predictor.predict(np.asarray(genes)[~known])
    return error, rate, known


def _blocks(table: AccuracyTable) -> tuple[Floats, Floats]:
    """Errors and rates, one row to a subnet."""
    return table.top1_error_pct, table.exit_rate.reshape(len(table), -1)


def _regressor(kind: str) -> KernelRegressor | XGBRegressor:
    if kind == "kernel":
        return KernelRegressor()
    if kind == "xgboost":
        return XGBRegressor(
            n_jobs=1, random_state=0, n_estimators=300, max_depth=4, learning_rate=0.1
        )
    raise ValueError(f"regressor must be auto, kernel or xgboost, got {kind!r}")


def _as_rates(raw: Floats, grid: PolicyGrid) -> Floats:
    """`raw` (n, P, E + 1) clipped, 0 at exits that a policy does not ask, with sum 1."""
    rate: Floats = raw.clip(0, 1) * (grid.route >= 0)
    total = rate.sum(axis=2)
    rate[..., -1] += total == 0  # nothing left: the final classifier answers
    rate /= np.where(total == 0, 1, total)[..., None]
    return rate


def _mean_srcc(predicted: Floats, true: Floats) -> float:
    """Rank correlation between subnets of each column (n, P), mean over columns."""
    a, b = (rankdata(x, axis=0) - (len(x) + 1) / 2 for x in (predicted, true))
    spread = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    known = spread > 0
    if not known.any():
        return float("nan")
    return float(((a * b).sum(axis=0)[known] / spread[known]).mean())
