"""The folder of a run: claimed by one process, changed only once the run is known to start."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.files import prepare_folder, write_text
from nas.search.journal import exclusive
from search_spaces import InputError

STATE, ROWS, JOURNAL, LOCK = "run.json", "target_rows.csv", "study.journal", "run.lock"
EVALUATIONS = "evaluations.jsonl"
RESULTS = ("pareto.json", "pareto.csv", "report.html")
NEW_ROWS = "target_rows.new.csv"  # becomes ROWS when the run starts


class RunFolder:
    """`out` with what an earlier run left there, if that is what `--resume` goes on with."""

    def __init__(self, out: Path, fingerprint: dict[str, Any], *, resumed: bool) -> None:
        self.out = out
        self.journal = out / JOURNAL
        self.evaluations = out / EVALUATIONS
        self.rows = out / (ROWS if resumed else NEW_ROWS)
        self.started = resumed
        self._fingerprint = fingerprint

    def start(self) -> None:
        """Drop what an older run left and write down what this one is; nothing is refused now."""
        if not self.started:
            for name in (STATE, JOURNAL, EVALUATIONS, *RESULTS):
                (self.out / name).unlink(missing_ok=True)
            self.rows = self.rows.replace(self.out / ROWS)
            write_text(self.out / STATE, json.dumps(self._fingerprint, indent=1) + "\n")
            self.started = True


@contextmanager
def claim(
    out: Path, fingerprint: dict[str, Any], *, resume: bool, overwrite: bool
) -> Iterator[RunFolder]:
    """Hold `out` for this process. InputError: it holds a run that this one does not go on with.

    A run that ends before `start` leaves `out` as it found it.
    """
    state, existed = out / STATE, out.exists()
    if state.exists() and not (resume or overwrite):
        raise InputError(f"{out} already holds a run; give --resume to go on or --overwrite")
    prepare_folder(out)
    locked = (out / LOCK).exists()
    with exclusive(out):
        resumed = resume and state.exists()
        if resumed:
            _check_same(state, fingerprint)
        folder = RunFolder(out, fingerprint, resumed=resumed)
        try:
            yield folder
        finally:
            if not folder.started:
                (out / NEW_ROWS).unlink(missing_ok=True)
                if not locked:
                    (out / LOCK).unlink()
                if not existed:
                    out.rmdir()


def _check_same(state: Path, fingerprint: dict[str, Any]) -> None:
    try:
        found = json.loads(state.read_text())
    except (OSError, ValueError):
        raise InputError(f"{state} is damaged; start again with --overwrite") from None
    wanted = json.loads(json.dumps(fingerprint))
    changed = [k for k in wanted if found.get(k) != wanted[k]]
    if changed:
        raise InputError(
            f"{state.parent} holds a run with another {', '.join(changed)}; "
            "resume with the same settings or choose another --out"
        )
