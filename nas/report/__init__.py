"""The Pareto set, and how good predictors are, as pages that a person can read."""

from nas.report.calibration import calibration_svg
from nas.report.html import write_report
from nas.report.transfer import transfer_report_html

__all__ = ["calibration_svg", "transfer_report_html", "write_report"]
