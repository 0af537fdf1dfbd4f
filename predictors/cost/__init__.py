"""Latency and energy of programs on one device: laws, trees, look-up tables, clocks."""
