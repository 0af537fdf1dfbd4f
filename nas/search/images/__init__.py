"""Accuracy from real images instead of a table: evaluations, their log, verification."""
