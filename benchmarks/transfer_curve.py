"""The learning curves of `results/transfer_halves.csv` as one small picture.

    python benchmarks/transfer_curve.py

Mean rank correlation over devices against measured rows, one panel per table, chosen rows; the thin
line of ours is the worst device. Writes `docs/transfer.svg`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from transfer_halves import RESULTS, SHIPPED

PICTURE = Path(__file__).parents[1] / "docs" / "transfer.svg"
COLOURS = {
    SHIPPED: "#0b6e99",
    "AdaProxy": "#c2571a",
    "nearest proxy": "#7a7a7a",
    "ridge from scratch": "#5b8c2a",
    "XGBoost from scratch": "#8a4fa3",
}
TITLES = {"nasbench201": "NAS-Bench-201", "fbnet": "FBNet", "ofa": "once-for-all"}
WIDTH, HEIGHT, LEFT, TOP, LOW = 230, 170, 34, 26, 0.5


def panel(rows: pd.DataFrame, left: float) -> list[str]:
    """One table's curves, from `left` on."""
    ks = sorted(rows["k"].unique())
    across = dict(zip(ks, left + np.linspace(0, WIDTH, len(ks)), strict=True))

    def line(values: pd.Series, colour: str, width: float) -> str:
        points = " ".join(
            f"{across[k]:.0f},{TOP + HEIGHT * (1 - max(v, LOW)) / (1 - LOW):.1f}"
            for k, v in values.items()
        )
        return f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='{width}'/>"

    drawn = [f"<text x='{left}' y='14' font-weight='bold'>{TITLES[rows['table'].iloc[0]]}</text>"]
    for rank in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        y = TOP + HEIGHT * (1 - rank) / (1 - LOW)
        drawn.append(f"<path d='M{left},{y:.1f}h{WIDTH}' stroke='#ddd'/>")
        drawn.append(f"<text x='{left - 4}' y='{y + 4:.1f}' text-anchor='end'>{rank:.1f}</text>")
    drawn += [
        f"<text x='{x:.0f}' y='{TOP + HEIGHT + 15}' text-anchor='middle'>{k}</text>"
        for k, x in across.items()
    ]
    for method, colour in COLOURS.items():
        own = rows[rows["method"] == method].groupby(["k", "target"])["srcc"].mean().groupby("k")
        drawn.append(line(own.mean(), colour, 2.5 if method == SHIPPED else 1.5))
        if method == SHIPPED:
            drawn.append(line(own.min(), colour, 0.8))
    return drawn


def main() -> None:
    rows = pd.read_csv(RESULTS).query("choice == 'chosen'")
    tables = [name for name in TITLES if name in set(rows["table"])]
    parts, step = [], WIDTH + LEFT + 16
    for i, name in enumerate(tables):
        parts += panel(rows[rows["table"] == name], LEFT + i * step)
    for i, (method, colour) in enumerate(COLOURS.items()):
        x, y = LEFT + 150 * i, TOP + HEIGHT + 40
        name = "ours (thin: worst device)" if method == SHIPPED else method
        parts.append(f"<path d='M{x},{y - 4}h18' stroke='{colour}' stroke-width='2'/>")
        parts.append(f"<text x='{x + 22}' y='{y}'>{name}</text>")
    width, height = max(len(tables) * step, 790), TOP + HEIGHT + 50
    PICTURE.write_text(
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' "
        f"font-family='sans-serif' font-size='11'>"
        f"<title>Rank correlation against measured rows; family left out, chosen rows</title>"
        f"<rect width='100%' height='100%' fill='#fff'/>{''.join(parts)}</svg>\n"
    )


if __name__ == "__main__":
    main()
