"""scikit-learn's embedded digits."""

from __future__ import annotations

import numpy as np
import torch

from supernets.data.dataset import Dataset, Split

DIGITS = tuple("0123456789")


def digits() -> Dataset:
    """scikit-learn's 1,797 digits of 8x8 pixels: 1,197 to train, 300 to choose, 300 to report."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy((bunch.images * 255 / 16).astype(np.uint8)[:, None])
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(labels)))
    train, validation, test = (Split(images[i], labels[i]) for i in order.split([1197, 300, 300]))  # type: ignore[no-untyped-call]
    return Dataset(
        name="digits",
        format="scikit-learn's digits",
        train=train,
        validation=validation,
        test=test,
        class_names=DIGITS,
        mean=(0.305,),
        std=(0.376,),
        flip=False,
    )
