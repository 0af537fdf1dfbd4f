"""Training of weight-sharing networks: the sandwich step and a loop that survives a kill."""

from supernets.training.loop import Progress, schedule, train
from supernets.training.sandwich import sandwich_step
from supernets.training.settings import TrainSettings, parse_settings

__all__ = ["Progress", "TrainSettings", "parse_settings", "sandwich_step", "schedule", "train"]
