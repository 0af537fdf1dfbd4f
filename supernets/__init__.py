"""Weight-sharing networks: train once, run any subnet. Needs torch, numpy and safetensors alone."""

from supernets.attach import attach_exits
from supernets.augment import calibration_images
from supernets.bn_cache import read_bn_cache, write_bn_cache
from supernets.bn_predict import PredictedStatistics
from supernets.calibrate import calibrate, calibrate_all
from supernets.catalog import build_supernet, random_supernet, register_supernet
from supernets.channels import Slice
from supernets.checkpoint import (
    CheckpointError,
    check_kind,
    load_supernet,
    read_tensors,
    save_supernet,
    sha256,
    write_tensors,
)
from supernets.data import DataError, Dataset, load_dataset
from supernets.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    Statistics,
    bf16_pays,
    cached_norm,
)
from supernets.engine import Answers, EarlyExitEngine
from supernets.evaluate import (
    Evaluation,
    accuracy_table,
    confidence_and_correct,
    exit_logits,
    fit_temperatures,
    known_temperatures,
    policy_accuracy,
)
from supernets.exits import ExitHead, FinalHead
from supernets.extract import PreparedSubnets, extract
from supernets.guest import bare, copied
from supernets.layers import RELU, Block, Layer, conv_norm
from supernets.mbconv import SqueezeExcite
from supernets.ofa import load_ofa, locate, to_ofa_state_dict
from supernets.resnet import ResNetSupernet
from supernets.slices import slices
from supernets.stages import StagedSupernet
from supernets.static import GlobalMean, PoolTo, Residual, Segment, StaticNet, Stored
from supernets.supernet import Supernet

__all__ = [
    "RELU",
    "Answers",
    "Block",
    "CheckpointError",
    "DataError",
    "Dataset",
    "EarlyExitEngine",
    "ElasticBatchNorm2d",
    "ElasticConv2d",
    "ElasticLinear",
    "Evaluation",
    "ExitHead",
    "FinalHead",
    "GlobalMean",
    "Layer",
    "PoolTo",
    "PredictedStatistics",
    "PreparedSubnets",
    "ResNetSupernet",
    "Residual",
    "Segment",
    "Slice",
    "SqueezeExcite",
    "StagedSupernet",
    "StaticNet",
    "Statistics",
    "Stored",
    "Supernet",
    "accuracy_table",
    "attach_exits",
    "bare",
    "bf16_pays",
    "build_supernet",
    "cached_norm",
    "calibrate",
    "calibrate_all",
    "calibration_images",
    "check_kind",
    "confidence_and_correct",
    "conv_norm",
    "copied",
    "exit_logits",
    "extract",
    "fit_temperatures",
    "known_temperatures",
    "load_dataset",
    "load_ofa",
    "load_supernet",
    "locate",
    "policy_accuracy",
    "random_supernet",
    "read_bn_cache",
    "read_tensors",
    "register_supernet",
    "save_supernet",
    "sha256",
    "slices",
    "to_ofa_state_dict",
    "write_bn_cache",
    "write_tensors",
]
