"""Hardware-aware search of dynamic networks: a Pareto set of configurations per DVFS level."""

__version__ = "0.1.0"
