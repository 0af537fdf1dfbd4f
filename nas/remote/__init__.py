"""Measuring on a board over ssh: one way, from this machine to the board."""
