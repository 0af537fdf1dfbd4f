"""From the points of a Pareto table to ONNX files that a board runs."""

from nas.export.plan import Export, plan_export
from nas.export.write import write_export

__all__ = ["Export", "plan_export", "write_export"]
