"""The program on the board: reads a plan, measures its tasks, writes their rows.

    python3 -u -m board.agent --rows rows.jsonl [--plan plan.jsonl] [--folder FILES]

A task that the rows hold is not measured again. While another agent measures, this one waits, sends
what that one writes, and takes over what it leaves. Exit code 1: the plan or the board cannot be
used; 130: stopped by a signal, with the clocks put back.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from typing import Any

from .clocks import Pin, find_clocks, limits, pin_all
from .discover import discover
from .journal import BusyError, Journal
from .link import Link
from .modes import list_modes, set_mode
from .protocol import Bench, Settings, measure
from .rows import Rows
from .runners import Pair, close_runner, make_runner
from .sensors import open_sensor
from .stop import stopping
from .sysfs import BoardError, DeniedError, MissingError, Sysfs

WAIT_S = 0.3
GOODBYE_S = 30.0  # for the host to say that it has every row
APART = ("id", "clocks", "mode", "repeat")  # of a task: what its runner does not depend on
CHOICES = {"clocks": ("auto", "pin", "present"), "energy": ("auto", "required", "none")}


class Agent:
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

    def task(self, task: dict[str, Any]) -> dict[str, Any]:
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
        notes = [*self.notes, *self.sensor_note, *row.pop("notes")]
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
            return open_sensor(self.fs, self.board, self.journal), []
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
            s = self.settings
            self._runner = make_runner(
                task, self.folder, s.energy_seconds if self.sensor else s.seconds
            )
            self._runs = key
        return self._runner


def serve(fs: Sysfs, link: Link, given: argparse.Namespace) -> None:
    """Measure the plan that `link` brings; BoardError where it cannot be begun."""
    head, tasks = link.plan()
    _check(head, tasks)
    rows = Rows(given.rows)
    link.listen()
    link.say({"found": discover(fs, head.get("board"))})
    wanted = {task["id"] for task in tasks}
    done: set[str] = set()
    with _own(fs, link, rows, wanted, done, given.journal) as journal:
        if journal.recovered:
            link.say({"restored": journal.recovered})
        _forward(link, rows, wanted, done)
        agent = Agent(fs, journal, head, given.folder)
        try:
            for task in [task for task in tasks if task["id"] not in done]:
                message = agent.task(task)
                rows.append(message)
                link.say(message)
                done |= {task["id"]} if "row" in message else set()
        finally:
            agent.close()
    if journal.faults:
        raise BoardError(f"cannot put back everything: {'; '.join(journal.faults)}")
    link.say({"done": len(done), "of": len(wanted)})
    link.closed.wait(GOODBYE_S)
    if link.forget:
        rows.delete()
        if given.remove:
            shutil.rmtree(given.remove, ignore_errors=True)


def _own(
    fs: Sysfs, link: Link, rows: Rows, wanted: set[str], done: set[str], path: str | None
) -> Journal:
    """The journal, once no other process holds it; meanwhile its rows are sent on."""
    told = False
    while True:
        try:
            journal = Journal(fs, path, {"rows": os.path.abspath(rows.path)})
            link.owner = None
            return journal
        except BusyError as error:
            if not told:
                link.say({"waiting": str(error)})
                told = True
            same_plan = error.owner.get("rows") == os.path.abspath(rows.path)
            link.owner = error.owner.get("pid") if same_plan else None
            _forward(link, rows, wanted, done)
            time.sleep(WAIT_S)


def _forward(link: Link, rows: Rows, wanted: set[str], done: set[str]) -> None:
    """Send rows that the file holds; what failed before is tried again, so its errors stay."""
    for message in rows.fresh():
        row = message.get("row", {})
        if row.get("id") in wanted:
            link.say(message)
            done.add(row["id"])


def _check(head: dict[str, Any], tasks: list[dict[str, Any]]) -> None:
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


def main(arguments: list[str] | None = None, fs: Sysfs | None = None) -> int:
    """The command line; `fs` stands in for the board's files in tests."""
    parser = argparse.ArgumentParser(
        prog="board.agent", description="Measure a plan on this board."
    )
    parser.add_argument("--root", default="/", help="where the board's files are")
    parser.add_argument("--rows", default="rows.jsonl", help="file that keeps the rows")
    parser.add_argument("--plan", help="file with the plan; without it, standard input")
    parser.add_argument("--folder", default=".", help="where the files of the tasks are")
    parser.add_argument("--remove", help="folder to remove once the host has every row")
    parser.add_argument("--journal", help="file that keeps what was changed")
    given = parser.parse_args(arguments)
    sink = open(1, "wb", buffering=0, closefd=False)  # noqa: SIM115
    link = Link(sink)
    try:
        with stopping(), open(given.plan or 0, "rb", buffering=0, closefd=bool(given.plan)) as file:
            link.source = file
            serve(fs or Sysfs(given.root), link, given)
    except (BoardError, OSError) as error:
        link.say({"fatal": str(error)})
        return 1
    except KeyboardInterrupt as signal:
        link.say({"stopped": str(signal)})
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
