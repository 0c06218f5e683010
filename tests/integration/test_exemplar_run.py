"""`make exemplar-run` in short: most pins come late, a worker and the pinner get a kill -9."""

from pathlib import Path

import pytest

from tests.chaos.exemplar_run import EXEMPLARS, ExemplarRun
from tests.chaos.exemplar_traffic import Shape

pytestmark = pytest.mark.integration

SHAPE = Shape(
    traces=1_600,
    traces_a_s=200.0,
    export_every_s=2.5,
    exemplars_an_export=150,
    late_after_s=2.5,
)


def test_every_trace_that_an_exemplar_points_at_is_in_the_output_whole_and_once(
    kafka: str, tmp_path: Path
) -> None:
    ran = ExemplarRun(
        kafka, tmp_path, SHAPE, decision_wait_s=2.0, kill_every_s=3.0, seed=9, say=print
    ).run()

    assert ran.broken == []
    assert {"w0", EXEMPLARS} <= ran.kills.keys()
    assert ran.whole == ran.traces_shown > 400
    assert ran.came_by["promoted"] > 0
    assert ran.came_by["pinned"] > 0
