"""Units of a profile's figures, by the ending of their names."""

from __future__ import annotations

UNITS = {  # longest first where one ends in another
    "gb_per_s": "GB/s", "k_w_per_ghz": "W/GHz", "w_per_gb_s": "W/(GB/s)", "rise_per_ghz": "1/GHz",
    "w_per_emc_ghz": "W/GHz",
    "_mhz": "MHz", "_ghz": "GHz", "_kib": "KiB", "_us": "us", "_ms": "ms", "_w": "W",
    "peak": "1/clock", "reread_per_mac": "1/MAC",
}  # fmt: skip


def unit(figure: str) -> str:
    """Unit of a figure such as `gpu.knee_ghz`; empty where it has none."""
    return next((unit for end, unit in UNITS.items() if figure.endswith(end)), "")
