"""Start a search from the subnets of an earlier one: another device, other bounds, more trials."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import optuna

from nas.pareto import read_pareto
from nas.pareto.records import WarmStartEntry
from nas.search.listener import Listener
from nas.search.settings import SearchSettings
from nas.search.study.storage import faults_named
from nas.words import counted
from search_spaces import Genes, InputError, Space

ATTRIBUTE = "warm_start"  # the study's user attribute


@dataclass(frozen=True)
class WarmStart:
    """Subnets that come first, and the file they are from."""

    file: str
    sha256: str
    device: str
    subnets: list[str]  # those at most levels first

    @property
    def described(self) -> WarmStartEntry:
        """`search.warm_start` of `pareto.json`."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "device": self.device,
            "n_subnets": len(self.subnets),
        }

    def genes(self, space: Space) -> Genes:
        """Genes `(n, genes)` of the subnets."""
        return space.genes([space.parse(text) for text in self.subnets])


def read_warm_start(path: Path, space: Space) -> WarmStart:
    """The subnets of a pareto.json. InputError: no such file, or one of another space."""
    table = read_pareto(path)
    found = table.content.get("space")
    if found != space.name:
        raise InputError(
            f"`warm_start` {path} holds subnets of {found}, the search is in {space.name}; "
            "give a pareto.json of the same space"
        )
    levels = Counter(point["subnet"] for point in table.points)
    subnets = sorted(levels, key=lambda text: (-levels[text], text))
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    warm = WarmStart(str(path), checksum, table.content["device"]["name"], subnets)
    warm.genes(space)  # every subnet is one of the space, or InputError
    return warm


def warm_start(
    settings: SearchSettings, study: optuna.Study, space: Space, listener: Listener
) -> WarmStart | None:
    """What the study starts from, if the settings ask for it."""
    if settings.warm_start is None:
        return None
    with faults_named(settings.storage or "`out`"):
        warm = _recorded(study, settings.warm_start, space)
    listener.stage(f"warm start: {counted(len(warm.subnets), 'subnet')} of {warm.device}")
    return warm


def _recorded(study: optuna.Study, path: Path, space: Space) -> WarmStart:
    """What the study started from, which a resumed run goes on with; noted in a new study."""
    found = study.user_attrs.get(ATTRIBUTE)
    if found is not None:
        try:
            return WarmStart(**found)
        except TypeError:
            raise InputError(
                f"the study's attribute `{ATTRIBUTE}` is none of ours; give another `study`"
            ) from None
    warm = read_warm_start(path, space)
    study.set_user_attr(ATTRIBUTE, vars(warm))
    return warm
