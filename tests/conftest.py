"""Settings shared by all tests."""

from hypothesis import settings

settings.register_profile("nas", deadline=None, max_examples=25)  # the first torch call is slow
settings.load_profile("nas")
