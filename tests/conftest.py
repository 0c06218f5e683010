"""Settings for all tests."""

import os

from hypothesis import settings

# No test is timed, so no example is either. In CI a failure prints the blob that reproduces it.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
