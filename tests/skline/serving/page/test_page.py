"""The page's HTML: fields from the contract, facts from manifest and card, files from the service itself."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from skline.artifact import Artifact, Manifest, MetricDescription, model_card
from skline.artifact.tuning import Interval, Threshold, Tuning
from skline.contract.spec import Column
from skline.serving.page.model_summary import _format, model_summary
from skline.serving.page.render import display_name, hint_of, render_field, render_page
from skline.settings import Settings
from tests.fixtures import demo
from tests.fixtures.page_service import CONTRACT, PageService


class Tags(HTMLParser):
    """Parses all elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))


@pytest.fixture
def client(running: tuple[PageService, str], page_server: PageService) -> Any:
    with httpx.Client(base_url=running[1], trust_env=False) as client:
        yield client


def test_form_has_one_field_per_input_and_no_others(client: httpx.Client) -> None:
    tags = Tags(client.get("/").text).elements
    names = [attributes["data-name"] for _, attributes in tags if "data-name" in attributes]
    assert names == CONTRACT.input_names
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    labelled = {attributes["for"] for tag, attributes in tags if tag == "label" and "for" in attributes}
    assert labelled <= set(ids)


def test_scripts_and_styles_come_from_the_service_and_none_is_inline(client: httpx.Client) -> None:
    page = client.get("/")
    for tag, attributes in Tags(page.text).elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert tag != "style"
        if tag == "script":
            assert attributes["src"]
        for name in ("src", "href"):
            assert "//" not in (attributes.get(name) or "")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("style.css", "page.js", "prediction.js", "icon.svg"):
        asset = client.get(f"/page/{name}")
        assert asset.status_code == 200
        again = client.get(f"/page/{name}", headers={"If-None-Match": asset.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert client.get("/page/render.py").status_code == 404
    assert client.head("/").status_code == 200


def test_page_shows_the_artifact_that_is_served_now(
    client: httpx.Client, page_server: PageService, artifact: Artifact
) -> None:
    before = client.get("/")
    try:
        title = "<script>alert(1)</script> & more"
        page_server.artifact = replace(
            artifact, digest="f" * 64, manifest=artifact.manifest.model_copy(update={"title": title})
        )
        after = client.get("/", headers={"If-None-Match": before.headers["etag"]})
    finally:
        page_server.artifact = artifact
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt; &amp; more</h1>" in after.text
    assert f"@{'f' * 12}" in after.text


def test_texts_of_the_contract_are_escaped() -> None:
    evil = '"><img src=x onerror=alert(1)>'
    for column in (
        Column(name=evil, kind="string", description=evil, example=evil),
        Column(name=evil, kind="string", description=evil, choices=(evil, "b"), nullable=True),
        Column(name=evil, kind="boolean", description=evil, nullable=True),
        Column(name=evil, kind="integer", description=evil, nullable=True),
    ):
        tags = Tags(render_field(0, column)).elements
        assert "img" not in {tag for tag, _ in tags}
        assert tags[0][1]["data-name"] == evil


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        (Column(name="a", kind="integer", description="Age.", example=3, minimum=0, maximum=9),
         "Age. 0 to 9, for example 3."),
        (Column(name="a", kind="number", exclusive_minimum=0, exclusive_maximum=1), "More than 0 and less than 1."),
        (Column(name="a", kind="date", minimum="2020-01-01", example="2026-03-01"),
         "Not before 2020-01-01, for example 2026-03-01."),
        (Column(name="a", kind="datetime", description="When"), "When. In UTC."),
        (Column(name="monthly_fee", kind="number", description="Monthly fee", example=1.5), "For example 1.5."),
        (Column(name="newsletter", kind="boolean", description="Newsletter", example=True), ""),
        (Column(name="a", kind="string", description="Where", choices=("x", "y"), example="x"), "Where."),
    ],
)  # fmt: skip
def test_hint_has_description_allowed_values_and_example(column: Column, hint: str) -> None:
    assert hint_of(column) == hint


@pytest.mark.parametrize(
    ("example", "seconds"),
    [("2026-02-01T10:30:00Z", False), ("2026-02-01T10:30", False), ("2026-02-01 10:30:05", True)],
)
def test_datetime_input_has_seconds_only_if_the_example_has(example: str, seconds: bool) -> None:
    assert ('step="1"' in render_field(0, Column(name="at", kind="datetime", example=example))) is seconds


def test_display_name_has_spaces_and_a_capital() -> None:
    assert [display_name(name) for name in ("sched_dep_time", "class, %", "x", "_")] == [
        "Sched dep time", "Class, %", "X", "_",
    ]  # fmt: skip


def test_facts_come_from_manifest_and_model_card(artifact: Artifact) -> None:
    metrics = {
        "rows": 55601,
        "model": {"roc_auc": 0.6707, "precision": 0.2},
        "linear": {"roc_auc": 0.6461, "precision": 0.1},
    }
    descriptions = {
        "roc_auc": MetricDescription(label="ROC AUC", better="higher", meaning="1 is perfect", of_classes=False),
        "precision": MetricDescription(label="Precision", better="higher", meaning="share of hits", of_classes=True),
    }
    manifest: Manifest = artifact.manifest.model_copy(
        update={
            "metrics": metrics,
            "metric_descriptions": descriptions,
        }
    )
    settings = Settings.load(demo.PARAMS)
    part = {"rows": 188870, "class_shares": {"True": 0.2}, "from": "2013-01-01 10:00", "to": "2013-07-31 23:00"}
    sections = model_card.sections(settings, demo.contract(), manifest.model_dump(), {"train": part}, {})
    text = model_card.markdown("Demo", sections)
    html = model_summary(manifest, text)
    for expected in (
        settings.project.intended_use,
        "188,870 rows, 2013-01-01 to 2013-07-31",
        "On 55,601 rows",
        'ROC AUC<span class="hint">1 is perfect</span>',
        "0.671",
        "0.646",
    ):
        assert expected in html
    assert "Precision" not in html
    without_descriptions = model_summary(manifest.model_copy(update={"metric_descriptions": {}}), text)
    assert '<th scope="row">roc_auc</th>' in without_descriptions
    assert "<table>" not in model_summary(artifact.manifest, "# Demo\n")


def test_intended_use_that_is_not_stated_is_in_the_model_card_only(artifact: Artifact) -> None:
    settings = Settings.load(demo.PARAMS)
    unstated = settings.model_copy(update={"project": settings.project.model_copy(update={"intended_use": ""})})
    manifest = artifact.manifest.model_dump() | {"metrics": {"rows": 1, "model": {"roc_auc": 0.6}}}
    sections = model_card.sections(unstated, demo.contract(), manifest, {}, {})
    card = model_card.markdown("Demo", sections)
    assert "project.intended_use in params.yaml" in card
    assert "params.yaml" not in model_summary(artifact.manifest, card)


def test_page_says_nothing_twice() -> None:
    moment = Column(name="placed_at", kind="datetime", description="Placed at, UTC", example="2024-06-24T14:45:00")
    assert hint_of(moment) == "Placed at, UTC. For example 2024-06-24T14:45:00."
    assert (
        hint_of(moment.model_copy(update={"description": "When"})) == "When. For example 2024-06-24T14:45:00, in UTC."
    )


@pytest.mark.parametrize(("value", "text"), [(-0.0001, "0.000"), (-0.0006, "-0.001"), (0.7853, "0.785")])
def test_metric_that_is_rounded_to_zero_has_no_sign(value: float, text: str) -> None:
    assert _format(value) == text


def test_page_knows_the_threshold_and_the_level_of_the_interval(artifact: Artifact) -> None:
    def tuning_of(tuning: Tuning | None) -> Any:
        manifest = artifact.manifest.model_copy(update={"tuning": tuning})
        page = Tags(render_page("<body data-tuning='$tuning'>", replace(artifact, manifest=manifest)))
        return json.loads(str(page.elements[0][1]["data-tuning"]))

    assert tuning_of(None) == {}
    threshold = Threshold(value=0.35, objective="set in params.yaml")
    assert tuning_of(Tuning(rows=9, threshold=threshold)) == {"threshold": 0.35, "from_threshold": True}
    assert tuning_of(Tuning(rows=9, interval=Interval(level=0.9, half_width=2.0, rows=9))) == {"level": 0.9}
