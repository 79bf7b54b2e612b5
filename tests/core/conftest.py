"""Hypothesis for the tests of the core: no deadline, because a busy machine proves nothing."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
