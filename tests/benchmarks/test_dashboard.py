"""The picture of the dashboard: its panels, and what is drawn of an answer."""

from __future__ import annotations

import json

from benchmarks.dashboard import DASHBOARD, Panel, Place, drawing, named, panels


def test_every_panel_that_can_be_drawn_has_its_queries_without_variables() -> None:
    found = panels(json.loads(DASHBOARD.read_text("utf-8")))
    assert found
    assert all(panel.queries and "$" not in query for panel in found for query, _ in panel.queries)


def test_a_legend_is_filled_in() -> None:
    assert named("{{code}} of {{fault}}", {"code": "idle", "fault": "client"}) == "idle of client"


def test_a_panel_without_an_answer_says_so_and_a_curve_ends_at_its_last_value() -> None:
    stat = Panel("Streams", "stat", "short", Place(0, 0, 6, 4), [])
    curve = Panel("Delay", "timeseries", "s", Place(6, 0, 12, 8), [])
    drawn = drawing([(stat, []), (curve, [("p50", [(0.0, 0.0), (60.0, 2.0)])])], 60)
    assert "No data" in drawn
    assert 'points="52.0,188.0 580.0,30.0"' in drawn
