"""Trained supernets as folders: weights, accuracy table, predictor, statistics, card."""
