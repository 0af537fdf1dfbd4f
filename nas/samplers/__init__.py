"""Optuna samplers that choose whole batches; they serve any study."""
