"""What all tests share: the settings of their tools, and Docker for those that use it."""

from hypothesis import settings

# Here, so that there is one of each for the whole run.
pytest_plugins = ["tests.docker_fixtures"]

# A limit in time for each example says more about the machine than about the code.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")
