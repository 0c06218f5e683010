"""Makes what the tests beside real counterparts need: `python -m tests.real`, for `make test-real`.

Each is built or fetched once, into `.cache/`. What is missing on this machine is said at once, with
what to install, before anything is built.
"""

from tests.harness.kafka_jars import MissingToolError
from tests.real import kafka_tools, prometheus_build

if __name__ == "__main__":
    try:
        kafka_tools.build()
        prometheus_build.build()
    except (MissingToolError, prometheus_build.NotBuiltError) as problem:
        raise SystemExit(str(problem)) from None
