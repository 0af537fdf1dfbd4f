"""A search on images with small generations, as a process that tests can kill.

Run as `python -m tests.nas.cluster.search_on_images SUPERNET ROWS OUT SETTINGS`; SETTINGS is JSON.
"""

import json
import sys
from pathlib import Path

from nas.search import SearchSettings, run_search
from search_spaces import InputError


class Said:
    """Prints what a search says and lets every generation be seen."""

    def stage(self, text: str) -> None:
        print(text, flush=True)

    def generation(self, generation) -> None:
        print(f"{generation.n_trials} trials", flush=True)

    def evaluation(self, n_evaluated: int) -> None:
        print(f"{n_evaluated} evaluated", flush=True)


def search(supernet: Path, rows: Path, out: Path, *, resume: bool = False, **settings) -> None:
    small = {"device": "xavier-nx", "population": 8, "n_trials": 20, "n_points": 5}
    fixed = {"supernet": str(supernet), "proxy": str(rows), "out": out, "data": Path("digits")}
    given = SearchSettings(**{**fixed, **small, "evaluate": True, **settings})
    run_search(given, resume=resume, listener=Said())


if __name__ == "__main__":
    try:
        search(*map(Path, sys.argv[1:4]), **json.loads(sys.argv[4]))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
