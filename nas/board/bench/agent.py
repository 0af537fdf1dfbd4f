"""The program on the board: reads a plan, measures its tasks, writes their rows.

    python3 -u -m board.bench.agent --rows rows.jsonl [--plan plan.jsonl] [--folder FILES]

A task that the rows hold is not measured again. While another agent measures, this one waits, sends
what that one writes, and takes over what it leaves. Exit code 1: the plan or the board cannot be
used; 130: stopped by a signal, with the clocks put back.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time

from ..control.journal import BusyError, Journal
from ..control.stop import stopping
from ..control.sysfs import BoardError, Sysfs
from .discover import discover
from .link import Link
from .rows import Rows
from .tasks import Tasks, check_plan

WAIT_S = 0.3
GOODBYE_S = 30.0  # for the host to say that it has every row


def serve(fs: Sysfs, link: Link, given: argparse.Namespace) -> None:
    """Measure the plan that `link` brings; BoardError where it cannot be begun."""
    head, tasks = link.plan()
    check_plan(head, tasks)
    rows = Rows(given.rows)
    link.listen()
    link.say({"found": discover(fs, head.get("board"))})
    wanted = {task["id"] for task in tasks}
    done: set[str] = set()
    with _own(fs, link, rows, wanted, done, given.journal) as journal:
        if journal.recovered:
            link.say({"restored": journal.recovered})
        _forward(link, rows, wanted, done)
        work = Tasks(fs, journal, head, given.folder)
        try:
            for task in [task for task in tasks if task["id"] not in done]:
                message = work.measure(task)
                rows.append(message)
                link.say(message)
                done |= {task["id"]} if "row" in message else set()
        finally:
            work.close()
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
            same_plan = error.owner.get("rows") == os.path.abspath(rows.path)
            link.owner = error.owner.get("pid") if same_plan else None
            if not told:  # the host may answer at once, with a stop that is for the owner too
                link.say({"waiting": str(error)})
                told = True
            _forward(link, rows, wanted, done)
            time.sleep(WAIT_S)


def _forward(link: Link, rows: Rows, wanted: set[str], done: set[str]) -> None:
    """Send rows that the file holds; what failed before is tried again, so its errors stay."""
    for message in rows.fresh():
        row = message.get("row", {})
        if row.get("id") in wanted:
            link.say(message)
            done.add(row["id"])


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
    with stopping():  # also while the last line is said
        try:
            with open(given.plan or 0, "rb", buffering=0, closefd=bool(given.plan)) as file:
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
