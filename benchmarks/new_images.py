"""How far the errors of a search are from those of test images, which chose nothing.

    nas search --device xavier-nx --out run
    python benchmarks/new_images.py run/pareto.json --data CIFAR [--most N]

Three differences to the 10,000 test images, in percentage points: of the error that the search
chose by, of the one expected on new images, and of subnets that nothing chose (those of the zoo's
card and of `standalone.json`: two ends and random ones), which only the two sets of images can
explain. Points that carry `verified` (`nas search --data`) are not run again. `--most` subnets are
run in a call, in a random order that is always the same, and kept in the results.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nas.files import sha256_of
from nas.pareto import read_pareto
from nas.search import SearchSettings
from nas.search.model import load_model
from nas.zoo.folder import supernet_folder
from predictors import NewImages
from search_spaces import ExitPolicy

RESULTS = Path(__file__).parent / "results" / "new_images.json"
N_TEST = 10_000
RANGES = (0, 10), (10, 16), (16, 100)  # percent
CARD_ROW = re.compile(r"^\| \w+ `(\S+)` .* (\d+\.\d+) \([\d.]+\) \|$", re.MULTILINE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("pareto", type=Path, nargs="*", help="results of searches")
    parser.add_argument("--data", type=Path, help="CIFAR-10 binary folder")
    parser.add_argument("--most", type=int, default=10_000, help="subnets to run in this call")
    asked = parser.parse_args()
    content = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    ours = sha256_of(supernet_folder("auto") / "weights.safetensors")
    rows = content["rows"] if content.get("weights_sha256") == ours else []
    known = {_key(row): row for row in rows}
    points = {_key(p): p for path in asked.pareto for p in read_pareto(path).points}
    known |= {key: _row(p, p["verified"]) for key, p in points.items() if "verified" in p}
    left = {key: p for key, p in points.items() if key not in known}
    subnets = sorted({p["subnet"] for p in left.values()})
    order = np.random.default_rng(0).permutation(len(subnets))[: asked.most if asked.data else 0]
    now = {subnets[i] for i in order}
    if now:
        own = [p for p in left.values() if p["subnet"] in now]
        known |= {_key(row): row for row in on_test_images(own, asked.data)}
    left_over = len(subnets) - len(now) if asked.pareto else content.get("n_subnets_left", 0)
    write(list(known.values()), left_over)


def on_test_images(points: Sequence[Any], data: Path) -> Iterator[dict[str, Any]]:
    """The rows of `points`, run as `nas search --data` runs them."""
    from nas.pareto import ParetoTable
    from nas.search.images.verify_accuracy import verify

    table = ParetoTable({"points": [*points]})  # type: ignore[typeddict-item]
    verify(table, load_model(SearchSettings("xavier-nx", "unused")), data)
    yield from (_row(p, p["verified"]) for p in points)


def _key(row: Any) -> str:
    return f"{row['subnet']} {ExitPolicy.from_dict(row['exits'])}"


def _row(point: Any, found: Any) -> dict[str, Any]:
    names = ("subnet", "exits", "top1_error_pct", "error_source", "exit_rates")
    test = {"test_error_pct": found["top1_error_pct"], "test_exit_rates": found["exit_rates"]}
    return {name: point[name] for name in names} | test | {"source": "measured"}


def write(rows: list[dict[str, Any]], n_left: int) -> None:
    model = load_model(SearchSettings("xavier-nx", "unused"))
    table, space = model.accuracy.table, model.space
    new_images = NewImages.of(table, model.accuracy.predictor)
    assert new_images is not None
    for row in rows:
        policy = table.grid.index(ExitPolicy.from_dict(row["exits"]))
        found = [x[0, policy] for x in new_images(space.genes([space.parse(row["subnet"])]))]
        row["expected_error_pct"], row["error_se_pct"] = map(_round, found)
    unchosen = []
    for subnet, top1 in nothing_chose():
        genes = space.genes([space.parse(subnet)])
        row = {"subnet": subnet, "top1_error_pct": _round(model.accuracy(genes)[0][0, 0])}
        row |= {"expected_error_pct": _round(new_images(genes)[0][0, 0])}
        unchosen.append(row | {"test_error_pct": _round(100 - top1)})
    content = {
        "command": "python benchmarks/new_images.py run/pareto.json --data CIFAR",
        "weights_sha256": table.supernet_sha256,
        "n_subnets_left": n_left,
        "n_test_images": N_TEST,
        "summary": {
            "points": summary(rows),
            "measured": summary([r for r in rows if r["error_source"] == "measured"]),
            "predicted": summary([r for r in rows if r["error_source"] == "predicted"]),
            **{f"error {a} to {b} %": summary(between(rows, a, b)) for a, b in RANGES},
            "nothing chose": summary(unchosen),
        },
        "nothing_chose": unchosen,
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    print(json.dumps(content["summary"], indent=1))


def between(rows: Sequence[dict[str, Any]], low: float, high: float) -> list[dict[str, Any]]:
    return [row for row in rows if low <= row["top1_error_pct"] < high]


def nothing_chose() -> Iterator[tuple[str, float]]:
    """Subnets and their test accuracy without early exits, where no search chose the subnet."""
    for subnet, top1 in CARD_ROW.findall((supernet_folder("auto") / "card.md").read_text()):
        yield subnet, float(top1)
    alone = json.loads((RESULTS.parent / "standalone.json").read_text())
    if alone["weights_sha256"] == sha256_of(supernet_folder("auto") / "weights.safetensors"):
        yield from ((row["subnet"], row["shared_top1_pct"][-1]) for row in alone["rows"])


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean difference and its root mean square, test minus shown and test minus expected."""
    if not rows:
        return {}
    test = np.array([row["test_error_pct"] for row in rows])
    found: dict[str, float] = {"n": len(rows), "n_subnets": len({row["subnet"] for row in rows})}
    for name in ("top1_error_pct", "expected_error_pct"):
        gap = test - [row[name] for row in rows]
        found[f"{name}_off"], found[f"{name}_off_rms"] = _round(gap.mean()), _rms(gap)
        if "error_se_pct" in rows[0]:
            own = np.array([row["error_se_pct"] for row in rows])
            score = np.abs(gap) / np.hypot(own, np.sqrt(test * (100 - test) / N_TEST))
            found[f"{name}_worst_in_standard_errors"] = _round(score.max())
    if "exit_rates" in rows[0]:
        gap = np.array([np.subtract(r["test_exit_rates"], r["exit_rates"]) for r in rows])
        found["rate_off_mean"] = _round(np.abs(gap).mean())
        found["rate_off_worst"] = _round(np.abs(gap).max())
    return found


def _rms(gap: ArrayLike) -> float:
    return _round(np.sqrt(np.mean(np.square(gap))))


def _round(value: float) -> float:
    return round(float(value), 4)


if __name__ == "__main__":
    main()
