"""Measuring on the board: the agent of a host, its protocol, and what runs the programs."""
