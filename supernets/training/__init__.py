"""Training of weight-sharing networks: the sandwich step and a loop that survives a kill."""

from supernets.training.loop import Progress, learning_rate, train
from supernets.training.sandwich import sandwich_step
from supernets.training.state import TrainSettings

__all__ = ["Progress", "TrainSettings", "learning_rate", "sandwich_step", "train"]
