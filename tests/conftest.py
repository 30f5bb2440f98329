"""Settings of the tools that the tests use."""

from hypothesis import settings

# A limit in time for each example says more about the machine than about the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
