"""From values to Grafana's dashboard JSON: schema version 39, of Grafana 11; newer ones take it."""

from collections.abc import Iterator
from typing import Any, Final

from deploy.dashboards.model import Dashboard, Kind, Panel, Query, Row, Unit, Variable

SCHEMA_VERSION: Final = 39
COLUMNS: Final = 24
TAG: Final = "tailstream"
PROMETHEUS: Final = {"type": "prometheus", "uid": "${datasource}"}
WORKER_STARTS: Final = 'process_start_time_seconds{job="$job"} * 1000'

Json = dict[str, Any]


def rendered(dashboard: Dashboard) -> Json:
    """Return the dashboard as Grafana stores it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": [TAG],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "annotations": {"list": [_worker_starts()]},
        "links": [_link_to_the_others()],
        "panels": list(_panels(dashboard.rows)),
    }


def _panels(rows: tuple[Row, ...]) -> Iterator[Json]:
    number = top = 0
    for row in rows:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top},
            "panels": [],
        }
        top += 1
        left = line_height = 0
        for panel in row.panels:
            if left + panel.width > COLUMNS:
                left, top = 0, top + line_height
                line_height = 0
            number += 1
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            yield _panel(panel, number, place)
            left += panel.width
            line_height = max(line_height, panel.height)
        top += line_height


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.description,
        "datasource": PROMETHEUS,
        "gridPos": place,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _OPTIONS[panel.kind](panel),
        "targets": [_target(panel, query, index) for index, query in enumerate(panel.queries)],
        "transformations": _TABLE_TRANSFORMATIONS if panel.kind is Kind.TABLE else [],
    }


def _target(panel: Panel, query: Query, index: int) -> Json:
    instant = panel.kind is Kind.TABLE
    formats = {Kind.TABLE: "table", Kind.HEATMAP: "heatmap"}
    return {
        "refId": chr(ord("A") + index),
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "format": formats.get(panel.kind, "time_series"),
        "instant": instant,
        "range": not instant,
        "exemplar": query.exemplars,
    }


def _field(panel: Panel) -> Json:
    steps = [{"color": step.color, "value": step.value} for step in panel.steps]
    by_step = panel.kind is Kind.STAT
    field: Json = {
        "unit": panel.unit.value,
        "color": {"mode": "thresholds" if by_step else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": _SERIES_STYLE | _drawn(panel) if panel.kind is Kind.SERIES else {},
    }
    if panel.kind is Kind.SERIES:
        field["min"] = 0
    if panel.unit is Unit.SHARE:
        field |= {"min": 0, "max": 1}
    if panel.decimals is not None:
        field["decimals"] = panel.decimals
    return field


def _drawn(panel: Panel) -> Json:
    return {
        "fillOpacity": 40 if panel.stacked else 8,
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(panel.steps) > 1 else "off"},
    }


_SERIES_STYLE: Final[Json] = {
    "drawStyle": "line",
    "lineInterpolation": "linear",
    "lineWidth": 1,
    "showPoints": "never",
    "spanNulls": False,
    "axisPlacement": "auto",
}

_TABLE_TRANSFORMATIONS: Final[list[Json]] = [
    {"id": "merge", "options": {}},
    {
        "id": "organize",
        "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "workers"}},
    },
]


def _series_options(panel: Panel) -> Json:
    del panel
    return {
        "legend": {
            "displayMode": "table",
            "placement": "right",
            "showLegend": True,
            "calcs": ["lastNotNull", "max"],
            "sortBy": "Last *",
            "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _stat_options(panel: Panel) -> Json:
    del panel
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value",
        "wideLayout": True,
    }


def _heatmap_options(panel: Panel) -> Json:
    return {
        "calculate": False,
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Oranges",
            "exponent": 0.5,
            "steps": 64,
            "reverse": False,
            "fill": "dark-orange",
            "scale": "exponential",
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "unit": panel.unit.value, "reverse": False},
    }


def _table_options(panel: Panel) -> Json:
    del panel
    return {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
    }


_OPTIONS: Final = {
    Kind.SERIES: _series_options,
    Kind.STAT: _stat_options,
    Kind.HEATMAP: _heatmap_options,
    Kind.TABLE: _table_options,
}


def _datasource() -> Json:
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Prometheus",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


def _variable(variable: Variable) -> Json:
    chosen = "" if variable.name == "job" else '{job="$job"}'
    asked = f"label_values({variable.metric}{chosen}, {variable.name})"
    all_of_them = {"text": ["All"], "value": ["$__all"]}
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": PROMETHEUS,
        "definition": asked,
        "query": {"query": asked, "refId": f"Variable-{variable.name}"},
        "current": all_of_them if variable.several else {},
        "allValue": ".*" if variable.several else "",
        "includeAll": variable.several,
        "multi": variable.several,
        "hide": 0,
        "options": [],
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 3,
    }


def _worker_starts() -> Json:
    return {
        "name": "Worker starts",
        "datasource": PROMETHEUS,
        "enable": True,
        "hide": False,
        "iconColor": "blue",
        "expr": WORKER_STARTS,
        "step": "60s",
        "titleFormat": "{{instance}} started",
        "useValueForTime": "on",
    }


def _link_to_the_others() -> Json:
    return {
        "type": "dashboards",
        "title": "Tailstream",
        "tags": [TAG],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
