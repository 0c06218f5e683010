"""The dashboards, by Grafana's own schema (grafana-foundation-sdk): it knows every field of theirs.

Reading drops what the schema does not have, so what is left after reading and writing is what
Grafana takes. It is not Grafana: how a panel looks is not seen here.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.repository import ROOT

pytestmark = pytest.mark.real

OF_THE_DATA_SOURCE = {"step", "titleFormat", "useValueForTime"}
"""Fields of an annotation's query that the schema leaves to the data source, Prometheus."""

FILES = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for key, below in tree.items():
            yield from leaves(below, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, below in enumerate(tree):
            yield from leaves(below, f"{path}[{index}]")
    else:
        yield path, tree


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_grafana_s_schema_has_every_field_of_a_dashboard(path: Any) -> None:
    from grafana_foundation_sdk.cog import plugins  # noqa: PLC0415 - where it is there
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415 - as above
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415 - as above

    plugins.register_default_plugins()  # else options and queries pass unread
    ours = json.loads(path.read_text())
    read = Dashboard.from_json(ours)
    theirs = dict(leaves(json.loads(JSONEncoder().encode(read))))
    differ = [place for place, said in leaves(ours) if theirs.get(place, said) != said]
    unknown = {place for place, _ in leaves(ours)} - theirs.keys()

    assert differ == []
    assert {place.rpartition(".")[2] for place in unknown} == OF_THE_DATA_SOURCE
