"""Training of weight-sharing networks: the sandwich step and a loop that survives a kill."""

from supernets.training.loop import Progress, TrainSettings, train
from supernets.training.sandwich import sandwich_step

__all__ = ["Progress", "TrainSettings", "sandwich_step", "train"]
