"""The version of the project; `pyproject.toml` has the same."""

__version__ = "0.1.0"
