"""The folder of a run: claimed by one process, changed only once the run is known to start."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nas.files import LOCK, exclusive, prepare_folder
from nas.search.settings import EXTENT, differing
from search_spaces import InputError, json_object, read_json, read_text, write_text

STATE, ROWS, JOURNAL = "run.json", "target_rows.csv", "study.journal"
EVALUATIONS = "evaluations.jsonl"
SHARED = "shared.json"  # what several devices have in common
RESULTS = ("pareto.json", "pareto.csv", "report.html")
KEPT = (JOURNAL, EVALUATIONS, SHARED, *RESULTS)  # what only `overwrite` may replace
SCRATCH = ".nas.tune"  # what Ray Tune writes, while it runs; a name that nobody else has
NEW_ROWS = "target_rows.new.csv"  # becomes ROWS when the run starts


class RunFolder:
    """`out` with what an earlier run left there, if that is what this one goes on with.

    One device has its files in `out` itself; each of several has a folder of its own in it.
    """

    def __init__(
        self,
        out: Path,
        state: Mapping[str, Any],
        devices: Sequence[str],
        *,
        earlier: Mapping[str, Any] | None,
    ) -> None:
        resumed = earlier is not None
        self.out = out
        self.journal = out / JOURNAL
        self.evaluations = out / EVALUATIONS
        self.homes = {name: out / name if len(devices) > 1 else out for name in devices}
        rows = ROWS if resumed else NEW_ROWS
        self.rows = {name: home / rows for name, home in self.homes.items()}
        self.started = resumed
        self.n_trials = (earlier or {}).get("n_trials")  # that the run before was to search
        self._earlier, self._state = earlier, {**(earlier or {}), **state}
        self._made = [home for home in self.homes.values() if not home.exists()]
        for home in self._made:
            home.mkdir()
        for home in self.homes.values():  # of a run that was killed before it started
            (home / NEW_ROWS).unlink(missing_ok=True)

    def start(self) -> None:
        """Drop what an older run left and write down what this one is; nothing is refused now."""
        if not self.started:
            self._clear()
            for name, home in self.homes.items():
                self.rows[name] = self.rows[name].replace(home / ROWS)
        if self._state != self._earlier:
            write_text(self.out / STATE, json.dumps(self._state, indent=1) + "\n")
        self.started = True

    def _clear(self) -> None:
        homes = set(self.homes.values())
        older = {self.out, *(self.out / name for name in _devices_of(self.out / STATE))}
        for home in older | homes:
            for name in (*KEPT, ROWS):
                (home / name).unlink(missing_ok=True)
            if home not in homes | {self.out} and home.is_dir() and not any(home.iterdir()):
                home.rmdir()
        (self.out / STATE).unlink(missing_ok=True)  # last: till then the folder is known as a run's

    def abandon(self) -> None:
        """Leave `out` as it was found."""
        for rows in self.rows.values():
            rows.unlink(missing_ok=True)
        for home in self._made:
            with suppress(OSError):  # somebody put a file there
                home.rmdir()


@contextmanager
def claim(
    out: Path,
    fingerprint: dict[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    devices: Sequence[str] = ("",),
    extent: Mapping[str, int | None] | None = None,
) -> Iterator[RunFolder]:
    """Hold `out` for this process. InputError: it holds a run that this one does not go on with.

    A run that ends before `start` leaves `out` as it found it. `extent` says how far this one goes,
    which the next may change.
    """
    state, existed = out / STATE, out.exists()
    if state.exists() and not (resume or overwrite):
        raise InputError(
            f"{out} already holds a run; give `resume=True` to go on, `overwrite=True` or "
            "another `out`"
        )
    if not (state.exists() or overwrite):
        _check_no_results(out, devices)
    prepare_folder(out)
    locked = (out / LOCK).exists()
    with exclusive(out):
        earlier = _same(state, fingerprint) if resume and state.exists() else None
        written = fingerprint if earlier is None else {}
        folder = RunFolder(out, {**written, **(extent or {})}, devices, earlier=earlier)
        try:
            yield folder
        finally:
            if not folder.started:
                folder.abandon()
                if not locked:
                    (out / LOCK).unlink(missing_ok=True)
                if not existed:
                    with suppress(OSError):  # another process has claimed it since
                        out.rmdir()


def _check_no_results(out: Path, devices: Sequence[str]) -> None:
    """InputError: `out`, which is no run's folder, holds a result or a study of somebody."""
    homes = [out, *(out / name for name in devices if len(devices) > 1)]
    found = [home / name for home in homes for name in KEPT if (home / name).exists()]
    if found:
        raise InputError(
            f"{found[0]} is there, and no {STATE} that says of which run; choose another `out` or "
            "give `overwrite=True`, which replaces it"
        )


def _devices_of(state: Path) -> list[str]:
    """The devices of the run that `state` tells of, if each had a folder of its own."""
    try:
        found = read_json(state)
        names = [Path(name).stem for name in (found["device"], *found["others"])]
    except (InputError, KeyError, TypeError):
        return []
    return [name for name in names if name not in ("", "..")] if len(names) > 1 else []


def extent_of(out: Path) -> dict[str, Any]:
    """How far the run in `out` was to go; nothing where it does not say so, as of older versions.

    Whether the file is sound is seen when the run is claimed.
    """
    try:
        found = json_object(read_text(out / STATE), out / STATE)
    except (InputError, OSError):
        return {}
    return {name: found[name] for name in EXTENT if name in found}


def _same(state: Path, fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What `state` tells of a run with the same settings."""
    try:
        found = json_object(read_text(state), state)
    except InputError:
        raise InputError(f"{state} is damaged; start again with `overwrite=True`") from None
    changed = differing(found, fingerprint)
    if changed:
        raise InputError(
            f"{state.parent} holds a run with another {', '.join(changed)}; "
            "resume with the same settings or choose another `out`"
        )
    return found
