"""The Pareto set as a page that a person can read."""

from nas.report.html import write_report

__all__ = ["write_report"]
