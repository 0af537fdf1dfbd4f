"""The files of a result."""

from __future__ import annotations

from pathlib import Path

from nas.pareto import ParetoTable


def write_result(table: ParetoTable, out: Path) -> None:
    """`pareto.json`, `pareto.csv` and `report.html` in `out`."""
    from nas.report import write_report

    table.write_json(out / "pareto.json")
    table.write_csv(out / "pareto.csv")
    write_report(table.content, out / "report.html", knees=table.knees())
