"""Networks from outside as plain data: their operations, groups of channels, residual blocks."""

from search_spaces.traced.space import BlockSlot, Node, TracedSpace, n_channels

__all__ = ["BlockSlot", "Node", "TracedSpace", "n_channels"]
