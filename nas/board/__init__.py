"""What measures on a board: clocks, power modes, rails, the protocol, the agent of a host.

Python 3.8 and the standard library alone; nothing else of this project. Paths that differ between
boards come from a description, a plain dict:

    {"name": "xavier-nx",
     "sysfs": {"gpu_devfreq": [folder, ...], "gpu_railgate": file, "emc_debug": folder},
     "rails": {"total": ["VDD_IN"]}}

All of it is optional: what is not named is looked for.
"""
