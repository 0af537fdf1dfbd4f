"""Costs and accuracies of subnets that were not measured: learned, transferred, judged."""

from predictors.accuracy import AccuracyPredictor, lookup
from predictors.accuracy_table import AccuracyTable, read_accuracy_table
from predictors.acquire import choose_rows
from predictors.artifacts import (
    ArtifactError,
    load_predictor,
    load_transfer,
    save_predictor,
    save_transfer,
)
from predictors.boosted import EnergyPredictor, LatencyPredictor, rows_sha256
from predictors.cells import TableError, read_cells
from predictors.clocks import ClockPredictor
from predictors.conditioned import DevicePredictor, Embedding
from predictors.instant import NeuralOptimizer
from predictors.intervals import half_width, half_widths
from predictors.lut import LutPredictor, Operator, programs_of
from predictors.metrics import kendall_tau, mape_pct, srcc, srcc_within, srcc_within_interval
from predictors.ofa_lut import ofa_keys, read_ofa_lut, write_ofa_lut
from predictors.pool import Pool, Verified, repair, verify
from predictors.prior import CostPrior, learn_prior
from predictors.report import GO_SRCC, TransferReport, held_out_report, transfer_report
from predictors.table import check_target_rows, genes_and_heads, read_rows, read_subnets
from predictors.transfer import MonotoneTransfer, ScaledModel
from predictors.transfer_predictor import TransferPredictor
from predictors.zero_shot import zero_shot

__all__ = [
    "GO_SRCC",
    "AccuracyPredictor",
    "AccuracyTable",
    "ArtifactError",
    "ClockPredictor",
    "CostPrior",
    "DevicePredictor",
    "Embedding",
    "EnergyPredictor",
    "LatencyPredictor",
    "LutPredictor",
    "MonotoneTransfer",
    "NeuralOptimizer",
    "Operator",
    "Pool",
    "ScaledModel",
    "TableError",
    "TransferPredictor",
    "TransferReport",
    "Verified",
    "check_target_rows",
    "choose_rows",
    "genes_and_heads",
    "half_width",
    "half_widths",
    "held_out_report",
    "kendall_tau",
    "learn_prior",
    "load_predictor",
    "load_transfer",
    "lookup",
    "mape_pct",
    "ofa_keys",
    "programs_of",
    "read_accuracy_table",
    "read_cells",
    "read_ofa_lut",
    "read_rows",
    "read_subnets",
    "repair",
    "rows_sha256",
    "save_predictor",
    "save_transfer",
    "srcc",
    "srcc_within",
    "srcc_within_interval",
    "transfer_report",
    "verify",
    "write_ofa_lut",
    "zero_shot",
]
