"""Inference that stops: a subnet runs segment by segment until an exit is sure enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from search_spaces import InputError
from supernets.static import StaticNet
from supernets.supernet import check_images


class Answers(NamedTuple):
    """One entry per image: the class, the confidence in it, and the exit that answered."""

    classes: Tensor  # (N,) int64
    confidence: Tensor  # (N,) float32, calibrated
    exits: Tensor  # (N,) int64, the exit's number


class EarlyExitEngine:
    """Runs `net` on images that leave at the first exit whose confidence reaches its threshold.

    `thresholds` has one number for every exit of `net` but the last. `temperatures` has one for
    each: confidence is the largest probability of softmax(logits / temperature). What follows a
    satisfied exit is not computed; in a batch the other images go on. Exits are decided as
    `PolicyGrid.response` decides them.
    """

    def __init__(
        self, net: StaticNet, thresholds: Sequence[float], temperatures: Sequence[float]
    ) -> None:
        n = len(net.head_ids)
        if len(thresholds) != n - 1 or len(temperatures) != n:
            raise InputError(
                f"a network with exits {net.head_ids} needs {n - 1} thresholds and {n} "
                f"temperatures, got {len(thresholds)} and {len(temperatures)}"
            )
        if not all(t > 0 for t in temperatures):
            raise InputError(f"temperatures must be positive, got {list(temperatures)}")
        self.net = net
        parts = net.segments, net.head_ids, (*thresholds, 0.0), temperatures
        self.stages = tuple(zip(*parts, strict=True))

    def __repr__(self) -> str:
        exits = (f"{exit_}@{threshold:g}" for _, exit_, threshold, _ in self.stages[:-1])
        return f"EarlyExitEngine({'+'.join(exits) or 'none'})"

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Answers:
        """Answer normalised images (N, C, H, H)."""
        check_images(images)
        waiting = torch.arange(len(images))
        answers = Answers(
            torch.empty_like(waiting), torch.empty(len(images)), torch.empty_like(waiting)
        )
        x = images
        for segment, exit_, threshold, temperature in self.stages:
            x, logits = segment(x)
            confidence, classes = (logits.float() / temperature).softmax(dim=1).max(dim=1)
            leaves = confidence.double() >= threshold  # a threshold is a float64
            if leaves.all():
                _write(answers, waiting, classes, confidence, exit_)
                break
            if leaves.any():
                left = waiting[leaves]
                _write(answers, left, classes[leaves], confidence[leaves], exit_)
                waiting, x = waiting[~leaves], x[~leaves]
        return answers


def _write(
    answers: Answers, index: Tensor, classes: Tensor, confidence: Tensor, exit_: int
) -> None:
    answers.classes[index], answers.confidence[index] = classes, confidence
    answers.exits[index] = exit_
