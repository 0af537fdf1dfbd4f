"""Zoo entries that are tables: from published accuracies to a folder that `nas search` takes.

    python benchmarks/published.py --data hardware --out supernets/zoo

`hardware` is the shared data folder. The predictor is judged across searches: it learns from all
but one of the published searches and predicts the subnets that only the left out one evaluated.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from nas.zoo.published import TABLE, Entry, write_entry
from predictors import AccuracyPredictor, AccuracyTable, kendall_tau, mape_pct, read_accuracy_table
from search_spaces import Floats, MobileNetV3Space, PolicyGrid, Space, write_text

OFA = Entry(
    space=MobileNetV3Space(resolutions=(224,)).to_dict(),
    dataset="imagenet",
    published_by="DyNAS-T",
    license="Apache-2.0",
    limits="the space is narrowed to images of 224 pixels, the only ones that were evaluated",
    checkpoint="ofa_mbv3_d234_e346_k357_w1.0",
)
COMMAND = "python benchmarks/published.py --data hardware --out supernets/zoo"
SOURCE = "github.com/IntelLabs/DyNAS-T, commit 251cb5e0083077522eb554691f480ba750e63246"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the shared data folder")
    parser.add_argument("--out", type=Path, required=True, help="the zoo")
    arguments = parser.parse_args()
    write_ofa(arguments.data / "ofa_mobilenetv3", arguments.out / "ofa-mobilenetv3")


def write_ofa(data: Path, folder: Path) -> None:
    """The entry `ofa-mobilenetv3`."""
    space = MobileNetV3Space(resolutions=(224,))
    found = published(data / "accuracy_dynast.csv.gz", space)
    judged = held_out(found, space)
    folder.mkdir(parents=True, exist_ok=True)
    mean = found.groupby("subnet", sort=True)["top1_error_pct"].mean()
    rows = mean.map("{:.4f}".format).reset_index().assign(source="published")
    write_text(folder / TABLE, rows.to_csv(index=False, lineterminator="\n"))
    predictor = AccuracyPredictor(space, regressor="kernel")
    predictor.fit(read_accuracy_table(folder / TABLE, space)).save(folder / "predictor")
    off = np.abs(np.concatenate([one.gap for one in judged]))
    known = (round(float(off.mean()), 3), round(float(np.quantile(off, 0.95)), 3))
    write_entry(OFA.model_copy(update={"held_out_pct": known}), folder)
    write_text(folder / "card.md", card(found, judged, known))


def published(path: Path, space: MobileNetV3Space) -> pd.DataFrame:
    """The evaluations as `run, subnet, top1_error_pct`; a subnet can be there more than once."""
    rows = pd.read_csv(path)
    columns = {c: [list(map(int, text.split("-"))) for text in rows[c]] for c in ("ks", "e", "d")}
    columns["r"] = [[side] for side in rows["r"]]
    configurations = [
        dict(zip(columns, one, strict=True)) for one in zip(*columns.values(), strict=True)
    ]
    rows["subnet"] = [str(space.from_ofa(one)) for one in configurations]
    rows["top1_error_pct"] = 100 - rows["imagenet_top1_pct"]
    return rows[["run", "subnet", "top1_error_pct"]]


@dataclass(frozen=True)
class Judged:
    """One search, predicted from the others: `gap` is the predicted less the published error."""

    run: str
    n_known: int
    error: Floats
    gap: Floats


def held_out(found: pd.DataFrame, space: MobileNetV3Space) -> list[Judged]:
    """Every search predicted from the others; subnets that both evaluated are left out."""
    judged = []
    for run in sorted(found["run"].unique()):
        known = found[found["run"] != run].groupby("subnet")["top1_error_pct"].mean()
        asked = found[found["run"] == run].groupby("subnet")["top1_error_pct"].mean()
        asked = asked[~asked.index.isin(known.index)]
        predictor = AccuracyPredictor(space, regressor="kernel").fit(table_of(known, space))
        predicted = predictor.predict(space.parse_all(list(asked.index)))[0][:, 0]
        error = asked.to_numpy()
        judged.append(Judged(run, len(known), error, predicted - error))
    return judged


def table_of(errors: pd.Series, space: Space) -> AccuracyTable:
    """Errors in percent by subnet as a table of a space without exits."""
    ones = np.ones((len(errors), 1, 1), np.float32)
    genes = space.parse_all(list(errors.index))
    return AccuracyTable(genes, PolicyGrid(0), errors.to_numpy(np.float32)[:, None], ones)


def card(found: pd.DataFrame, judged: list[Judged], off: tuple[float, float]) -> str:
    """The card in Markdown."""
    n_evaluations = found.groupby("subnet").size()
    return CARD.format(
        n=len(n_evaluations),
        source=SOURCE,
        n_rows=len(found),
        n_twice=(n_evaluations > 1).sum(),
        checkpoint=OFA.checkpoint,
        command=COMMAND,
        rows="\n".join(map(_row, judged)),
        mean=off[0],
        most=off[1],
    )


def _row(one: Judged) -> str:
    gap, error = one.gap, one.error
    return (
        f"| {one.run} | {one.n_known:,} | {len(gap)} | {error.min():.1f} to {error.max():.1f} | "
        f"{kendall_tau(error + gap, error):.2f} | {mape_pct(error + gap, error):.2f} | "
        f"{gap.mean():+.3f} | {np.abs(gap).mean():.3f} | {np.quantile(np.abs(gap), 0.95):.2f} |"
    )


CARD = """# ofa-mobilenetv3

Once-for-all MobileNetV3 of width 1.0 (Cai et al., 2020, arXiv:1908.09791) on ImageNet, as a
table: accuracies that others published, a predictor for all other subnets, no weights.

- accuracies: `accuracy.csv`, {n:,} subnets, top-1 on the 50,000 validation images at 224 pixels;
  `published` where a subnet is in the table, `predicted (published)` elsewhere
- source: {source} (`notebooks/data`), {n_rows:,} evaluations by four searches; the {n_twice}
  subnets that were evaluated more than once are averaged
- licence of the accuracies: Apache-2.0; changed: configurations are written as this project's
  subnets, accuracy as error
- space: `ofa-mobilenetv3-r224`; the table has no other resolution, so none is searched
- weights: none. `nas supernet import {checkpoint} --out DIR` puts the official ones (MIT) and
  these accuracies into a folder; they stay unverified until `nas search --supernet DIR --data
  IMAGENET` has run the points on images
- made by `{command}`

## Predictor

Each search predicted from the three others (kernel ridge; subnets that both evaluated are left
out). tau is Kendall's; the last three columns are in points of error: mean gap (predicted less
published), mean absolute gap, and what 95 of 100 gaps stay below.

| left out | learned from | predicted | errors in % | tau | MAPE % | mean | absolute | 95 of 100 |
|---|---|---|---|---|---|---|---|---|
{rows}

Of all four together: {mean:.3f} points off on average, 95 of 100 by less than {most:.2f}.
Searches keep good subnets, so bad ones are rare in the table; where a search spans half a point,
as linasga_acc, ranks within it are mostly noise. Two evaluations of one subnet differ by 0.01 to
0.02 points (batch norm is recalibrated).
"""


if __name__ == "__main__":
    main()
