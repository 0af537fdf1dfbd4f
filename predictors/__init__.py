"""Costs and accuracies of subnets that were not measured: learned, transferred, judged."""

from predictors.accuracy import AccuracyPredictor, lookup
from predictors.accuracy_table import AccuracyTable, read_accuracy_table
from predictors.artifacts import (
    ArtifactError,
    load_predictor,
    load_transfer,
    save_predictor,
    save_transfer,
)
from predictors.boosted import EnergyPredictor, LatencyPredictor
from predictors.cells import TableError
from predictors.clocks import ClockPredictor
from predictors.conditioned import DevicePredictor, Embedding
from predictors.instant import NeuralOptimizer
from predictors.metrics import kendall_tau, mape_pct, srcc, srcc_within, srcc_within_interval
from predictors.pool import Pool, Verified, repair, verify
from predictors.prior import CostPrior, learn_prior
from predictors.report import TransferReport, pooled_report, scaled_report, transfer_report
from predictors.table import check_target_rows, genes_and_heads, read_rows
from predictors.transfer import MonotoneTransfer, ScaledModel
from predictors.transfer_predictor import TransferPredictor, choose_rows, zero_shot

__all__ = [
    "AccuracyPredictor",
    "AccuracyTable",
    "ArtifactError",
    "ClockPredictor",
    "CostPrior",
    "DevicePredictor",
    "Embedding",
    "EnergyPredictor",
    "LatencyPredictor",
    "MonotoneTransfer",
    "NeuralOptimizer",
    "Pool",
    "ScaledModel",
    "TableError",
    "TransferPredictor",
    "TransferReport",
    "Verified",
    "check_target_rows",
    "choose_rows",
    "genes_and_heads",
    "kendall_tau",
    "learn_prior",
    "load_predictor",
    "load_transfer",
    "lookup",
    "mape_pct",
    "pooled_report",
    "read_accuracy_table",
    "read_rows",
    "repair",
    "save_predictor",
    "save_transfer",
    "scaled_report",
    "srcc",
    "srcc_within",
    "srcc_within_interval",
    "transfer_report",
    "verify",
    "zero_shot",
]
