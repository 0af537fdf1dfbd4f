"""Accuracy of subnets: the table of what was evaluated, and a predictor on it."""
