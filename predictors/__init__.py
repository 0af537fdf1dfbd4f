"""Costs and accuracies of subnets that were not measured: learned, transferred, judged."""

from predictors.accuracy.new_images import NewImages
from predictors.accuracy.predictor import AccuracyPredictor, lookup
from predictors.accuracy.table import AccuracyTable, read_accuracy_table
from predictors.artifacts import ArtifactError
from predictors.cells import csv_text, read_cells
from predictors.cost.boosted import EnergyPredictor, LatencyPredictor, rows_sha256
from predictors.cost.clocks import ClockPredictor
from predictors.cost.intervals import half_width, half_widths
from predictors.cost.lut import LutPredictor, Operator, programs_of
from predictors.cost.ofa_lut import ofa_keys, read_ofa_lut, write_ofa_lut
from predictors.cost.zero_shot import zero_shot
from predictors.design.conditioned import DevicePredictor, Embedding
from predictors.design.optimizer import NeuralOptimizer
from predictors.design.repair import Pool, Verified, repair, verify
from predictors.dialect import TableError
from predictors.metrics import kendall_tau, mape_pct, srcc, srcc_within, srcc_within_interval
from predictors.saved import load_predictor, load_transfer, save_predictor, save_transfer
from predictors.table import (
    MIN_TARGET_ROWS,
    MIN_TARGET_SUBNETS,
    check_target_rows,
    genes_and_heads,
    read_rows,
    read_subnets,
)
from predictors.transfer.acquire import choose_rows
from predictors.transfer.learning import learn_prior
from predictors.transfer.monotone import MonotoneTransfer, ScaledModel
from predictors.transfer.pooled import TransferPredictor
from predictors.transfer.prior import CostPrior
from predictors.transfer.report import (
    GO_SRCC,
    TransferReport,
    held_out_report,
    transfer_report,
)
from predictors.units import in_our_units

__all__ = [
    "GO_SRCC",
    "MIN_TARGET_ROWS",
    "MIN_TARGET_SUBNETS",
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
    "NewImages",
    "Operator",
    "Pool",
    "ScaledModel",
    "TableError",
    "TransferPredictor",
    "TransferReport",
    "Verified",
    "check_target_rows",
    "choose_rows",
    "csv_text",
    "genes_and_heads",
    "half_width",
    "half_widths",
    "held_out_report",
    "in_our_units",
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
