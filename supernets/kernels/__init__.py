"""Kernels of pruned convolutions on a CPU: generated, translated at first use, kept in a cache."""

from supernets.kernels.c_source import c_source
from supernets.kernels.layers import DepthwiseConv2d, KernelLayer, PackedConv2d
from supernets.kernels.network import check_called, check_packable, pack_network
from supernets.kernels.packed import PackedWeights, pack, read_packed, write_packed
from supernets.kernels.program import KINDS, Program, is_pruned, pack_zeros, write_program
from supernets.kernels.segment import write_segment

__all__ = [
    "KINDS",
    "DepthwiseConv2d",
    "KernelLayer",
    "PackedConv2d",
    "PackedWeights",
    "Program",
    "c_source",
    "check_called",
    "check_packable",
    "is_pruned",
    "pack",
    "pack_network",
    "pack_zeros",
    "read_packed",
    "write_packed",
    "write_program",
    "write_segment",
]
