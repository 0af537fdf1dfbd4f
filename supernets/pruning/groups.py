"""Incremental training: one group after the other, the earlier ones frozen (arXiv:2105.03600).

Step i trains a network of the size of one group on the logits of the groups before plus its own.
Nothing of the earlier groups is in the optimiser, and they normalise by statistics that stay, so
what the first i groups answer keeps every bit whatever is trained behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from search_spaces import GroupSpace, InputError, Space, Subnet, get_space
from supernets.catalog import random_supernet
from supernets.channels import Channels
from supernets.checkpoint import load_supernet, save_supernet
from supernets.data import Dataset
from supernets.elastic import ElasticConv2d, ElasticLayer, ElasticLinear, Norm
from supernets.extract import extract
from supernets.grouped import GroupedSupernet
from supernets.layers import Layer
from supernets.supernet import Supernet
from supernets.training import Progress, TrainSettings, train

OF_SUBNETS = ("sandwich", "n_random", "late_epochs", "progressive", "distil")  # settings


class Increment(Supernet):
    """All groups of `own`, trained behind the finished groups of `base`, whose logits are added.

    To the training loop it is a supernet of one subnet.
    """

    kind: ClassVar[str] = "groups"
    space: GroupSpace

    def __init__(self, own: GroupedSupernet, base: GroupedSupernet | None = None) -> None:
        super().__init__()
        self.space, self.own = own.space, own
        self._subnet = own.space.subnet(own.space.largest)
        self._base = (base,)  # in a tuple: no part of this module
        self.frozen = None
        if base is not None:
            largest = base.space.subnet(base.space.largest)
            self.frozen = extract(base, largest).fold().requires_grad_(False)
            for name, parameter in own.named_parameters():
                if _shared(name):  # the first group's
                    parameter.requires_grad_(False)
        self.name_norms()

    @property
    def heads(self) -> nn.ModuleList:  # type: ignore[override]
        return self.own.heads

    def segment(self, k: int, subnet: Subnet) -> tuple[list[Layer], Channels]:
        return self.own.segment(k, self._subnet)

    def forward(
        self,
        x: Tensor,
        subnet: Subnet,
        *,
        heads: Sequence[int] | None = None,
        norm: Norm | None = None,
    ) -> list[Tensor]:
        """Logits (N, classes) of every exit, those of the frozen groups added.

        In training the group's own answer stands before the last as one more exit: a group that
        learns to be right alone, not just where the others are wrong, adds more to them.
        """
        logits = self.own(x, self._subnet, norm=norm)
        if self.frozen is not None:
            with torch.no_grad():
                before = self.frozen(x)
            alone = logits[-1]
            logits = [a + b for a, b in zip(before, logits, strict=True)]
            if self.training and heads is None:
                return [*logits[:-1], alone, logits[-1]]
        return logits if heads is None else [logits[k] for k in sorted(set(heads))]

    def whole(self) -> GroupedSupernet:
        """The groups of `base` and then those of `own` in one network."""
        (base,) = self._base
        if base is None:
            return self.own
        n = base.space.n_groups + self.own.space.n_groups
        net = GroupedSupernet(self.own.space.first(n))
        before, new = base.state_dict(), self.own.state_dict()
        joined = {k: _joined(k, before[k].cpu(), new[k].detach().cpu()) for k in before}
        net.load_state_dict(joined)
        return net


def train_groups(
    space: GroupSpace,
    data: Dataset,
    settings: TrainSettings,
    out: Path,
    *,
    device: str = "cpu",
    about: Mapping[str, Any] | None = None,
) -> Iterator[Progress]:
    """Train group after group, each for all epochs of `settings`, into `out/weights.safetensors`.

    `out/group1` and so on hold the groups done so far, in the same form, and where a rerun goes on.
    """
    check_group_settings(
        name for name in OF_SUBNETS if getattr(settings, name) != getattr(TrainSettings, name)
    )
    if settings.exits_only:
        raise InputError("`exits_only` is for a finished supernet; groups train their exits too")
    base, seconds = None, 0.0
    for i in range(1, space.n_groups + 1):
        folder = out / f"group{i}"
        part = Increment(_fresh(space.first(1), settings.seed, i), base)
        trained = False
        for step in train(part, data, settings, folder, device=device, about=about):
            trained = True
            yield _of_all(step, settings, i, space.n_groups)
        base, metadata = _finished(folder, space.first(i))
        seconds += metadata["seconds"]
        described = {k: v for k, v in metadata.items() if k not in ("schema", "space", "kind")}
        path = out / "weights.safetensors"
        if not trained and _n_groups(path) >= i:
            continue  # a rerun takes nothing back
        save_supernet(base, path, half=True, **{**described, "seconds": round(seconds)})


def _n_groups(path: Path) -> int:
    """Of the supernet at `path`; 0 where none can be read."""
    try:
        return cast(GroupSpace, get_space(path)).n_groups if path.exists() else 0
    except InputError:
        return 0


def check_group_settings(names: Iterable[str], option: str = "") -> None:
    """InputError where one of the settings `names`, behind `option`, says nothing to groups."""
    for name in names:
        if name in OF_SUBNETS:
            raise InputError(
                f"{option}`{name}` is for subnets that share a step, and a group is one network: "
                "leave it out"
            )


def check_groupable(space: str | Space) -> None:
    """InputError names the first layer of the space's supernet that groups cannot be made of."""
    found = get_space(space)
    for name, layer in random_supernet(found).named_modules():
        if isinstance(layer, ElasticLayer) and not isinstance(layer, ElasticConv2d | ElasticLinear):
            raise InputError(
                f"{name} of {found.name} cannot be grouped: a layer of type {type(layer).__name__} "
                "has no channels that can be split into groups"
            )


def _finished(folder: Path, space: GroupSpace) -> tuple[GroupedSupernet, dict[str, Any]]:
    """The groups that `folder` holds, under their name in the whole network."""
    net, metadata = load_supernet(folder / "weights.safetensors")
    assert isinstance(net, GroupedSupernet)
    net.space = space
    return net, metadata


def _fresh(space: GroupSpace, seed: int, i: int) -> GroupedSupernet:
    """One group with initial weights of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(1000 * seed + i)
        return GroupedSupernet(space)


def _of_all(step: Progress, settings: TrainSettings, i: int, n: int) -> Progress:
    """The progress of group `i` as that of all `n`."""
    epoch, done = (i - 1) * settings.epochs, (i - 1) * step.n_steps
    return replace(step, epoch=epoch + step.epoch, step=done + step.step, n_steps=n * step.n_steps)


def _shared(name: str) -> bool:
    """Whether all groups have this tensor together: the bias of a classifier."""
    return name.endswith("linear.bias")


def _joined(name: str, before: Tensor, new: Tensor) -> Tensor:
    """A tensor of the finished groups with that of the new one behind it."""
    if _shared(name):
        return before
    return torch.cat([before, new], dim=1 if name.endswith("linear.weight") else 0)
