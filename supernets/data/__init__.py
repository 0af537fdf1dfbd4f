"""Images to train on: image folders, CIFAR, MNIST's format, scikit-learn's digits, ImageNet."""

from supernets.data.cifar import cifar10, cifar100
from supernets.data.dataset import SPLITS, DataError, Dataset, Listener, Split
from supernets.data.digits import digits
from supernets.data.folder import image_folder
from supernets.data.idx import idx
from supernets.data.imagenet import imagenet, synsets
from supernets.data.load import load_dataset
from supernets.data.splits import HELD_OUT, epoch_order, imbalance, stratified

__all__ = [
    "HELD_OUT",
    "SPLITS",
    "DataError",
    "Dataset",
    "Listener",
    "Split",
    "cifar10",
    "cifar100",
    "digits",
    "epoch_order",
    "idx",
    "image_folder",
    "imagenet",
    "imbalance",
    "load_dataset",
    "stratified",
    "synsets",
]
