"""Owns the settings of all tests."""

from hypothesis import settings

# A busy machine is no error, and a test that fails fails again.
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
settings.load_profile("repeatable")
