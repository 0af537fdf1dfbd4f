"""Which weights of a layer stay when the others become zero."""

from supernets.pruning.blocks import METHODS, block_mask, retained, select_blocks

__all__ = ["METHODS", "block_mask", "retained", "select_blocks"]
