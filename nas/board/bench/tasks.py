"""The tasks of a plan: power mode and clocks, runner, measurement, for one after the other."""

from __future__ import annotations

import json
import time
from typing import Any

from ..control.journal import Journal
from ..control.modes import list_modes, set_mode
from ..control.pins import Pin, find_clocks, limits, off_clusters, pin_all
from ..control.sensors import open_sensor
from ..control.sysfs import BoardError, DeniedError, MissingError, Sysfs
from .protocol import Bench, Settings, measure
from .runners import Pair, close_runner, make_runner

APART = ("id", "clocks", "mode", "repeat")  # of a task: what its runner does not depend on
CHOICES = {"clocks": ("auto", "pin", "present"), "energy": ("auto", "required", "none")}


class Tasks:
    """One plan on one board, which `journal` holds."""

    def __init__(self, fs: Sysfs, journal: Journal, head: dict[str, Any], folder: str) -> None:
        self.fs, self.journal, self.folder = fs, journal, folder
        self.board = head.get("board", {})
        self.settings = Settings(**head.get("settings", {}))
        self.policy = {name: head.get(name, "auto") for name in CHOICES}
        self.clocks = find_clocks(fs, self.board)
        self.sensor, self.sensor_note = self._open_sensor()
        self._start = len(journal.entries)  # what stays changed for all tasks
        self.pins: list[Pin] = []
        self.notes: list[str] = []
        self._set: str | None = None
        self._runner: Pair | None = None
        self._runs: str | None = None

    def measure(self, task: dict[str, Any]) -> dict[str, Any]:
        """The message of a task: its row, or why there is none."""
        try:
            self._prepare(task)
            run, sync = self._get_runner(task)
            row = measure(
                Bench(self.fs, self.clocks, self.pins, self.sensor), run, sync, self.settings
            )
        except BoardError as error:
            return {"error": str(error), "id": task["id"]}
        except Exception as error:  # of the runtime that is timed
            return {"error": f"{type(error).__name__}: {error}", "id": task["id"]}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        notes = [*self.notes, *self.sensor_note, *getattr(run, "notes", []), *row.pop("notes")]
        row = {"id": task["id"], **row, "notes": notes, "source": "measured", "measured_at": now}
        return {"row": row}

    def close(self) -> None:
        if self._runner is not None:
            close_runner(self._runner)
        self._runner = self._runs = None

    def _open_sensor(self) -> Any:
        """The sensor, and why there is none where the plan can do without."""
        if self.policy["energy"] == "none":
            return None, []
        try:
            sensor = open_sensor(self.fs, self.board, self.journal)
            return sensor, sensor.left_out
        except BoardError as error:
            if self.policy["energy"] == "required":
                raise
            return None, [f"energy is not measured: {error}"]

    def _prepare(self, task: dict[str, Any]) -> None:
        """Power mode and clocks of a task; they are kept where the next one asks for the same."""
        wanted = json.dumps([task.get("mode"), task.get("clocks")])
        if wanted == self._set:
            return
        self._set, self.pins, self.notes = None, [], []
        faults = self.journal.restore(self._start)
        if faults:
            raise BoardError(f"cannot put the clocks back: {'; '.join(faults)}")
        if self.policy["clocks"] != "present":
            try:
                self._pin(task)
            except (DeniedError, MissingError) as error:
                if self.policy["clocks"] == "pin":
                    raise
                self.journal.restore(self._start)
                self.pins, self.notes = [], [f"measured at the clocks found: {error}"]
        self._set = wanted

    def _pin(self, task: dict[str, Any]) -> None:
        mode = task.get("mode")
        if mode and list_modes(self.fs):
            set_mode(self.journal, mode, limits(self.clocks))
            self.clocks = find_clocks(self.fs, self.board)  # a mode takes cores away or brings them
        elif mode and "gpu" in self.clocks:
            self.notes.append(f"power mode {mode} is not set: this board has no nvpmodel")
        self.notes += off_clusters(self.fs)
        wanted = {name[: -len("_mhz")]: mhz for name, mhz in (task.get("clocks") or {}).items()}
        emc = {"emc": wanted.pop("emc", None)}
        self.pins = pin_all(self.journal, self.clocks, wanted)
        railgate = self.board.get("sysfs", {}).get("gpu_railgate")
        if wanted.get("gpu") and railgate and self.fs.exists(railgate):
            self.journal.change(railgate, 0)  # or the GPU powers off between two runs
        try:
            self.pins += pin_all(self.journal, self.clocks, emc)
        except (DeniedError, MissingError) as error:
            if self.policy["clocks"] == "pin":
                raise
            self.notes.append(f"the memory clock is not locked: {error}")

    def _get_runner(self, task: dict[str, Any]) -> Pair:
        """Kept while only clocks change: loading a network takes longer than timing it."""
        what = {key: value for key, value in task.items() if key not in APART}
        key = json.dumps(what, sort_keys=True)
        if key != self._runs or self._runner is None:
            self.close()
            self._runner = make_runner(task, self.folder, self.settings.timed_s(self.sensor))
            self._runs = key
        return self._runner


def check_plan(head: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
    """BoardError where a plan asks for what there is not."""
    for name, choices in CHOICES.items():
        if head.get(name, "auto") not in choices:
            raise BoardError(f"{name} is {head[name]!r}, expected one of {', '.join(choices)}")
    unknown = set(head.get("settings", {})) - set(Settings._fields)
    if unknown:
        raise BoardError(
            f"settings {', '.join(sorted(unknown))} are unknown: {', '.join(Settings._fields)}"
        )
    if not all(isinstance(task.get("id"), str) for task in tasks):
        raise BoardError("every task needs an `id`, a text")
