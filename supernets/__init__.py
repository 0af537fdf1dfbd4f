"""Weight-sharing networks: train once, run any subnet. Needs torch, numpy and safetensors alone."""

from supernets.calibrate import calibrate
from supernets.checkpoint import CheckpointError, load_supernet, save_supernet
from supernets.extract import StaticResNet, extract
from supernets.resnet import ResNetSupernet

__all__ = [
    "CheckpointError",
    "ResNetSupernet",
    "StaticResNet",
    "calibrate",
    "extract",
    "load_supernet",
    "save_supernet",
]
