"""Networks of the user: traced, their channels grouped, made elastic, given exits."""

from supernets.operations import Operation
from supernets.static import Wired
from supernets.traced.blocks import Place
from supernets.traced.calls import NotUnderstood, Value, Weight
from supernets.traced.capture import N_IMAGES, capture
from supernets.traced.layers import Factors
from supernets.traced.network import TracedSupernet
from supernets.traced.rules.tables import FUNCTIONS, METHODS, MODULES, apply
from supernets.traced.wrap import Wrapped, wrap

__all__ = [
    "FUNCTIONS",
    "METHODS",
    "MODULES",
    "N_IMAGES",
    "Factors",
    "NotUnderstood",
    "Operation",
    "Place",
    "TracedSupernet",
    "Value",
    "Weight",
    "Wired",
    "Wrapped",
    "apply",
    "capture",
    "wrap",
]
