"""The one base of errors that a user can mend."""


class InputError(ValueError):
    """What was given cannot be used; one line says what was wanted, what was found, what to do."""
