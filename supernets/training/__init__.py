"""Training of weight-sharing networks: the sandwich step and a loop that survives a kill."""

from supernets.training.loop import Progress, schedule, train
from supernets.training.sandwich import sandwich_step
from supernets.training.settings import TrainSettings

__all__ = ["Progress", "TrainSettings", "sandwich_step", "schedule", "train"]
