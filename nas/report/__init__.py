"""The Pareto set, and how good predictors are, as pages that a person can read.

`page/` is the report of a search: a template per section, `limits.js` with the question that
`ParetoTable.cheapest` answers in Python, the other scripts that draw, and the style of all pages.
"""

from nas.report.calibration import calibration_svg
from nas.report.html import write_report
from nas.report.transfer import transfer_report_html

__all__ = ["calibration_svg", "transfer_report_html", "write_report"]
