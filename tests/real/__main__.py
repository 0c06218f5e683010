"""Makes what the tests beside real counterparts need: `python -m tests.real`, for `make test-real`.

Each is built or fetched once, into `.cache/`. What is missing on this machine is said at once, with
what to install, before anything is built.
"""

from tests.harness.kafka_jars import MissingToolError
from tests.real import collector_build, kafka_tools, prometheus_build, zipkin_server
from tests.real.chromium import Chromium, NoBrowserError

MISSING = (
    MissingToolError,
    NoBrowserError,
    zipkin_server.NotFetchedError,
    prometheus_build.NotBuiltError,
    collector_build.NotBuiltError,
)

if __name__ == "__main__":
    try:
        Chromium.on_this_machine()
        zipkin_server.fetch()
        kafka_tools.build()
        prometheus_build.build()
        collector_build.build()
    except MISSING as problem:
        raise SystemExit(str(problem)) from None
