"""The documentation names what is there: files, tests, metrics, models."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from streaming_asr_server.metrics import Metrics
from streaming_asr_server.settings import Settings

from streaming_asr.checkpoints.recommended import Recommendation, recommended
from streaming_asr.command_line.models import published_errors

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "training" / "README.md"]

LINK = re.compile(r"\[[^\]]*\]\((?P<path>[^)\s#:]+)(?:#[^)\s]*)?\)")
INCLUDED = re.compile(r'^--8<-- "(?P<path>.+)"$', re.M)
SNIPPET = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
NAMED_TEST = re.compile(r"`(?P<file>tests/[\w/]+\.py)(?:::(?P<test>\w+))?`")
NAMED_FILE = re.compile(r"`(?P<path>(?:streaming_asr|server|client|tests|training|benchmarks)/[\w./-]*)[`:]")
METRIC = re.compile(r"streaming_asr_\w+")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_included_files_are_there(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [link["path"] for link in LINK.finditer(text) if not (page.parent / link["path"]).exists()]
    missing += [included["path"] for included in INCLUDED.finditer(text) if not (ROOT / included["path"]).exists()]
    assert not missing
    assert len(INCLUDED.findall(text)) == text.count("--8"), "a formatter may have taken an inclusion for Python"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_on_a_page_can_be_read(page: Path) -> None:
    for snippet in SNIPPET.findall(page.read_text("utf-8")):
        if not INCLUDED.match(snippet):
            compile(snippet, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_every_page_is_in_the_site() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    assert [page.name for page in DOCS.glob("*.md") if not re.search(rf"[ -]{page.name}$", navigation, re.M)] == []


def test_the_architecture_names_files_that_there_are() -> None:
    named = {name["path"] for name in NAMED_FILE.finditer((DOCS / "architecture.md").read_text("utf-8"))}
    assert len(named) > 40
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.mark.parametrize("page", ["architecture.md", "faults.md"])
def test_promises_name_tests_that_there_are(page: str) -> None:
    named = list(NAMED_TEST.finditer((DOCS / page).read_text("utf-8")))
    assert len(named) > 20
    for name in named:
        source = (ROOT / name["file"]).read_text("utf-8")
        assert name["test"] is None or f"def {name['test']}(" in source, name[0]


def queries(dashboard: object) -> Iterator[str]:
    """All queries of a Grafana dashboard."""
    if isinstance(dashboard, dict):
        yield from (str(dashboard[key]) for key in ("expr", "query") if key in dashboard)
        dashboard = list(dashboard.values())
    if isinstance(dashboard, list):
        for part in dashboard:
            yield from queries(part)


def metric_names(registry: CollectorRegistry) -> set[str]:
    """The names under which Prometheus stores what a registry has, also where nothing was counted yet."""
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {family.name + suffix for family in registry.collect() for suffix in suffixes[family.type]}


def test_the_dashboard_and_the_alerts_ask_for_metrics_that_the_server_has() -> None:
    asked = " ".join(queries(json.loads((ROOT / "deploy" / "grafana.json").read_text("utf-8"))))
    asked += (ROOT / "deploy" / "alerts.yml").read_text("utf-8") + (DOCS / "monitoring.md").read_text("utf-8")
    assert set(METRIC.findall(asked)) - metric_names(Metrics().registry) == set()


def test_the_page_of_the_server_has_every_option_and_metric() -> None:
    text = (DOCS / "server.md").read_text("utf-8")
    assert [option.name for option in fields(Settings) if f"`{option.name}`" not in text] == []
    names = [family.name.removeprefix("streaming_asr_") for family in Metrics().registry.collect()]
    assert [name for name in names if not re.search(rf"`{name}(_total)?[`{{]", text)] == []


def row(model: Recommendation) -> str:
    """A recommended model as it stands in the table of the page."""
    size, errors = f"{model.size.parameters / 1e6:.0f} M", published_errors(model) if model.test_set else ""
    cells = (model.language, f"[{model.name}]({model.source})", model.family, size, errors, model.test_set or "")
    return f"| {' | '.join((*cells, model.licence))} |"


def test_the_page_about_models_has_those_of_the_command() -> None:
    text = (DOCS / "choosing-a-model.md").read_text("utf-8")
    shown = [line for line in text.splitlines() if "](https://huggingface.co/" in line and line.startswith("|")]
    assert shown == [row(model) for model in recommended()]
