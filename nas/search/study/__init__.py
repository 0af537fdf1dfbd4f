"""The Optuna study of a search: its storage, its record, its generations."""
