"""The clocks beside the one that names a level: CPU and memory, for `--clocks all`.

A *setting* is one value of every clock; it belongs to the level of its GPU clock. Settings
0 .. L - 1 are the levels as they are, the other clocks at the power mode's maximum. A program costs
at another setting what it costs at the level times what the device model says of the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nas.devices import ClockModel, Device
from search_spaces import Bools, DvfsLevel, Floats, Genes, InputError, Ints, Space


@dataclass(frozen=True)
class ClockGrid:
    """All settings of a device whose model knows them."""

    space: Space
    device: ClockModel
    settings: tuple[DvfsLevel, ...]

    @classmethod
    def of(cls, space: Space, device: Device) -> ClockGrid:
        """The settings of the device's power mode. InputError where nothing is known of them."""
        if not isinstance(device, ClockModel):
            raise InputError(
                f"`clocks` all needs a model of the clocks, {device.name} is measured at one "
                "setting; leave it at gpu"
            )
        return cls(space, device, tuple(device.settings))

    @property
    def level(self) -> Ints:
        """The level of every setting, `(S,)`."""
        return np.array([setting.level for setting in self.settings])

    def costs(
        self,
        genes: Genes,
        programs: Bools,
        latency: Floats,
        energy: Floats,
        chosen: Ints,
    ) -> tuple[Floats, Floats]:
        """Costs `(n, programs, chosen)` from those at the levels, `(n, programs, L)`."""
        rows = np.repeat(genes, len(programs), axis=0)
        operators = self.space.operators(rows, np.tile(programs, (len(genes), 1)))
        level = self.level[chosen]
        at = self.device.at([self.settings[i] for i in chosen]).cost(operators)
        own = self.device.cost(operators)
        shape = (len(genes), len(programs), len(chosen))
        ratios = [(a / o[:, level]).reshape(shape) for a, o in zip(at, own, strict=True)]
        return latency[:, :, level] * ratios[0], energy[:, :, level] * ratios[1]

    def useful(self, latency: Floats, energy: Floats) -> Ints:
        """Settings that for some subnet no other of the same level beats in every program.

        Takes both costs `(n, programs, S)` of all settings, decisions included. What loses in every
        program loses under every policy: an expected cost is a sum over programs with weights of
        at least 0, and the worst case is one of them. So nothing is lost with the others.
        """
        costs = np.concatenate([latency, energy], axis=1).transpose(2, 0, 1)  # (S, n, 2 programs)
        emc = np.array([setting.emc_mhz or 0 for setting in self.settings])
        kept = []
        for level in np.unique(self.level):
            own = np.flatnonzero(self.level == level)
            # in two steps, first among the settings of one memory clock: far fewer pairs
            first = [own[emc[own] == f] for f in np.unique(emc[own])]
            left = np.concatenate([g[_unbeaten(costs[g])] for g in first])
            kept.append(left[_unbeaten(costs[left])])
        return np.sort(np.concatenate(kept))


def _unbeaten(costs: Floats) -> Bools:
    """Of settings with costs `(S, n, quantities)`, those that some subnet may want.

    A setting is beaten for a subnet by one that is nowhere dearer; of equal ones the first stays.
    """
    wanted = np.zeros(len(costs), dtype=bool)
    for i, own in enumerate(costs):
        no_worse = (costs <= own).all(axis=2)  # (S, n)
        equal = (costs == own).all(axis=2)
        equal[:i] = False
        wanted[i] = not (no_worse & ~equal).any(axis=0).all()
    return wanted
