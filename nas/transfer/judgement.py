"""What target rows say of a proxy or of a pool of them, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.pareto.records import Fallback
from nas.transfer.outlook import Outlook
from predictors import GO_SRCC, TransferReport

MUCH = 0.8  # more rows are worth it when they narrow intervals to this share


@dataclass(frozen=True)
class Judgement:
    """One quantity: held-out quality, each proxy alone, and what more rows would give."""

    report: TransferReport
    source: str  # of the target's rows
    proxy_srcc: dict[str, float]  # rank correlation of every proxy with the rows, within clocks
    proxy_weight: dict[str, float]  # percent of the predicted cost per percent of the proxy's
    outlook: Outlook
    fallback: Fallback | None = None  # the model that predicts instead
    doubtful: tuple[str, ...] = ()  # rows that contradict the others and do not count

    def to_dict(self) -> dict[str, Any]:
        """For `--json`; NaN becomes None."""
        rank, widths = self.outlook.pool_srcc, self.outlook.width_pct
        entry = self.report.to_dict() | {
            "target_source": self.source,
            "proxies": {k: None if np.isnan(v) else v for k, v in self.proxy_srcc.items()},
            "proxy_weights": {k: round(v, 3) for k, v in self.proxy_weight.items()},
            "interval_half_width_pct": {str(k): round(v, 2) for k, v in widths.items()},
            "pool_srcc": None if np.isnan(rank) else round(rank, 4),
            "pool_fits": self.outlook.fits,
            "advice": self.advice,
            "doubtful_rows": list(self.doubtful),
        }
        return entry | ({} if self.fallback is None else {"fallback": self.fallback})

    @property
    def ranked(self) -> list[str]:
        """Proxies from the best alone to the worst; those that cannot be ranked last."""
        return sorted(self.proxy_srcc, key=lambda name: _nan_last(self.proxy_srcc[name]))

    @property
    def advice(self) -> str:
        """What to do next, in one sentence."""
        several = len(self.proxy_srcc) > 1
        if self.outlook.fits is False and (several or self.report.decision == "no-go"):
            return self._unlike
        widths = self.outlook.width_pct
        now, more = widths[0], max(widths)
        narrower = f"from ±{now:.0f} % to ±{widths[more]:.0f} %"
        if self.report.decision == "go" and self.fallback is not None:
            return (
                "measure programs at the slowest and the fastest clock: ranks say go, but the rows "
                f"do not cover the clocks, so {self.fallback['model']}, predicts"
            )
        if self.report.decision == "go":
            if widths[more] < MUCH * now:
                return f"use it; {more} rows more would narrow intervals {narrower}"
            return f"use it; more rows would change little: intervals go {narrower} with {more}"
        low, best = self.report.srcc_interval[0], self.ranked[0]
        if np.isnan(self.report.srcc) or np.isnan(low):
            return "measure more subnets at one clock: the rows cannot be ranked"
        if low >= GO_SRCC:
            return "see latency: energy is latency times power and waits for its go"
        if self.report.srcc >= GO_SRCC:
            return (
                f"measure {more} programs more: ranks agree, but by so few rows they may be as "
                f"low as {low:.2f}, and {GO_SRCC:g} is asked for"
            )
        if len(self.proxy_srcc) > 1 and self.proxy_srcc[best] >= GO_SRCC:
            return f"judge {best} alone, which ranks the rows best"
        instead = "the device's own model, scaled to the rows, predicts until then"
        return f"try another proxy, nearer to the target in kind; {instead}"

    @property
    def _unlike(self) -> str:
        if len(self.proxy_srcc) > 1:
            who, how = "no proxy behaves", "predicted from its own rows"
        else:
            instead = "the proxy's map" if self.fallback is None else self.fallback["model"]
            who, how = "the proxy does not behave", f"{instead} predicts; with its own rows"
        return f"{who} like this device ({self.outlook.rank}); {how} within {self.outlook.more}"


def _nan_last(value: float) -> tuple[bool, float]:
    """To sort by, the largest first."""
    return bool(np.isnan(value)), -value
