"""Which weights of a layer stay when the others become zero."""

from supernets.pruning.all_in_one import RatioSettings, train_all_in_one
from supernets.pruning.block_sparse import train_block_sparse
from supernets.pruning.blocks import METHODS, block_mask, retained, select_blocks
from supernets.pruning.budget import check_falling
from supernets.pruning.groups import check_group_settings, check_groupable, train_groups
from supernets.pruning.masks import UNSTRUCTURED, BlockPruner, PruneSettings
from supernets.pruning.network import prunable, select_network
from supernets.pruning.training import STATE, WEIGHTS, PruningRun, last_logits, top1

__all__ = [
    "METHODS",
    "STATE",
    "UNSTRUCTURED",
    "WEIGHTS",
    "BlockPruner",
    "PruneSettings",
    "PruningRun",
    "RatioSettings",
    "block_mask",
    "check_falling",
    "check_group_settings",
    "check_groupable",
    "last_logits",
    "prunable",
    "retained",
    "select_blocks",
    "select_network",
    "top1",
    "train_all_in_one",
    "train_block_sparse",
    "train_groups",
]
