"""The page in a headless Chromium: keyboard, errors, keys, accessibility, print."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from playwright.sync_api import Page, expect

from skline.scoring.golden_verification import parse_rows
from skline.serving.app import create_app
from skline.serving.settings import ServiceSettings
from tests.conftest import running
from tests.fixtures import demo
from tests.fixtures.page_service import CONTRACT, PageService
from tests.skline.serving.page.conftest import OpenPage

EXAMPLE = {
    "day": "2026-03-01", "moment": "2026-02-01T10:30", "amount": 12.5, "visits": 3, "member": True,
    "town & county": "A<b>", "plan": "basic", "level": 2,
}  # fmt: skip


def predict(page: Page) -> None:
    """Request a prediction for the example values, and wait for it."""
    page.get_by_role("button", name="Use example values").click()
    page.get_by_role("button", name="Predict").click()
    page.locator("#predicted-value").wait_for()


def tab_to(page: Page, key: str) -> None:
    """Press Tab until the element has the focus; a date input takes several presses."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == key:
            return
    raise AssertionError(f"Tab does not reach {key}")


def respond_with(status: int, detail: Any, **headers: str) -> Any:
    """Return an override that responds to every request with an error."""
    return lambda request: JSONResponse({"detail": detail}, status_code=status, headers=headers)


def sizes(page: Page) -> list[str]:
    return [bar.evaluate("bar => bar.style.getPropertyValue('--size')") for bar in page.locator(".track i").all()]


def test_prediction_with_the_keyboard_only(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    keyboard = page.keyboard
    tab_to(page, "f0")
    keyboard.type("03012026")
    tab_to(page, "f1")
    keyboard.type("02012026")
    keyboard.press("Tab")
    keyboard.type("1030AM")
    tab_to(page, "f2-unknown")
    keyboard.press("Space")
    tab_to(page, "f3")
    keyboard.type("007")
    tab_to(page, "f4")
    keyboard.press("Space")
    keyboard.press("ArrowDown")
    tab_to(page, "f5")
    keyboard.type('Ghent "& co"')
    tab_to(page, "f6")
    keyboard.type("gold")
    tab_to(page, "f7")
    keyboard.type("3")
    tab_to(page, "predict")
    keyboard.press("Enter")
    page.locator("#predicted-value").wait_for()
    assert page_server.requests == [
        {
            "day": "2026-03-01", "moment": "2026-02-01T10:30", "amount": None, "visits": 7, "member": False,
            "town & county": 'Ghent "& co"', "plan": "gold", "level": 3,
        }
    ]  # fmt: skip
    expect(page.locator("#prediction-title")).to_be_focused()


def test_shows_probabilities_and_contributions_largest_first(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    predict(page)
    assert page_server.requests == [EXAMPLE]
    row = parse_rows(CONTRACT, [EXAMPLE])[0]
    prediction, probabilities = page_server.plan.score_row(row)
    assert probabilities is not None
    expect(page.locator("#predicted-value")).to_have_text("Yes" if prediction else "No")
    yes = page.locator(".probabilities li", has_text="Yes")
    expect(yes.locator("b")).to_have_text(f"{100 * probabilities[1]:.1f} %")
    assert (
        yes.locator(".bar i").evaluate("bar => bar.style.getPropertyValue('--size')")
        == f"{100 * probabilities[1]:.2f}%"
    )

    explanation = page_server.explainer.explain(row)
    expected = sorted(explanation.contributions.items(), key=lambda item: -abs(item[1]))
    lines = page.locator(".contributions tbody tr:not(.base)")
    assert [text.split("\n")[0].lower() for text in lines.locator("th").all_inner_texts()] == [n for n, _ in expected]
    shown = [float(text.replace("\N{MINUS SIGN}", "-")) for text in lines.locator("td:last-child").all_inner_texts()]
    assert shown == pytest.approx([value for _, value in expected], abs=0.005)
    largest = abs(expected[0][1])
    assert [float(size[:-1]) for size in sizes(page)] == pytest.approx(
        [50 * abs(value) / largest for _, value in expected], abs=0.01
    )
    for (_, value), mark in zip(expected, page.locator(".track i").all(), strict=True):
        assert (mark.get_attribute("class") == "minus") == (value < 0)
    total = page.locator(".contributions tfoot td:last-child").inner_text().replace("\N{MINUS SIGN}", "-")
    assert float(total) == pytest.approx(explanation.score, abs=0.005)
    assert "A<b>" in page.locator("#prediction").inner_text()

    page.locator("#f3").fill("5")
    expect(page.locator("#outdated")).to_be_visible()


def test_shows_the_threshold_of_the_model_and_the_interval(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    show = """async ([response, tuning]) => {
        document.body.dataset.tuning = JSON.stringify(tuning);
        const script = await import(`./page/prediction.js?${JSON.stringify(tuning)}`);
        script.showPrediction(response, new Map(), new Map());
    }"""
    version = page.evaluate("document.body.dataset.version")
    response = {
        "prediction": True, "probabilities": {"false": 0.6, "true": 0.4}, "model_version": version, "prediction_id": "1"
    }  # fmt: skip
    page.evaluate(show, [response, {"threshold": 0.35, "from_threshold": True}])
    said = (
        "\N{LEFT DOUBLE QUOTATION MARK}Yes\N{RIGHT DOUBLE QUOTATION MARK} is predicted from a probability of 35 % on."
    )
    expect(page.locator("#threshold")).to_have_text(said)
    page.evaluate(show, [response | {"model_version": "other@1"}, {"threshold": 0.35, "from_threshold": True}])
    expect(page.locator("#threshold")).to_have_count(0)
    number = {"prediction": 37.1, "interval": [-1.5, 48.7], "model_version": version, "prediction_id": "1"}
    page.evaluate(show, [number, {"level": 0.9}])
    expect(page.locator("#interval")).to_have_text("90 % prediction interval: \N{MINUS SIGN}1.5 to 48.7")
    page.evaluate(show, [number | {"fallback": "previous"}, {"level": 0.9}])
    expect(page.locator("#interval")).to_have_text("Prediction interval: \N{MINUS SIGN}1.5 to 48.7")


def test_shows_errors_next_to_their_fields_and_focuses_the_first(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    page.get_by_role("button", name="Use example values").click()
    page.locator("#f2").fill("-1")
    page.locator("#f3").fill("two")
    page.locator("#f4-no").check()
    page.locator("#f7").select_option("")
    page.get_by_role("button", name="Predict").click()
    for key, message in (("f2", "greater than or equal to 0"), ("f3", "whole number"), ("f7", "field is required")):
        error = page.locator(f"#{key}-error")
        expect(error).to_contain_text(message)
        expect(page.locator(f"#{key}")).to_have_attribute("aria-invalid", "true")
        assert f"{key}-error" in str(page.locator(f"#{key}").get_attribute("aria-describedby"))
    expect(page.locator("#f2")).to_be_focused()
    expect(page.get_by_role("alert").filter(has_text="3 fields")).to_be_visible()
    assert page.locator(".error:visible").count() == 3

    page.get_by_role("alert").get_by_role("link", name="Level").click()
    expect(page.locator("#f7")).to_be_focused()
    page.locator("#f2").fill("9007199254740993.25")
    page.locator("#f3").fill("4")
    page.locator("#f7").select_option("3")
    sent = []
    page.on("request", lambda request: sent.append(request.post_data))
    page.get_by_role("button", name="Predict").click()
    page.locator("#predicted-value").wait_for()
    assert '"amount":9007199254740993.25,' in sent[0]  # all digits: the service rounds, not the page
    assert page.locator(".error:visible, [aria-invalid]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_accessibility_violation(open_page: OpenPage, page_server: PageService, scheme: str) -> None:
    page = open_page(scheme=scheme)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    predict(page)
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Predict").click()
    page.locator("#summary").wait_for()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    page_server.override = respond_with(401, "a key is required")
    page.get_by_role("button", name="Predict").click()
    page.locator("#key").wait_for()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def test_page_fits_a_phone_and_loads_nothing_from_other_hosts(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page(width=360)
    hosts: set[str | None] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.reload()

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    assert fits()
    predict(page)
    assert fits()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Predict").click()
    page.locator("#summary").wait_for()
    assert fits()
    assert hosts == {"127.0.0.1"}


@pytest.mark.parametrize("width", [360, 700, 960, 1280])
def test_controls_do_not_overflow_their_fields(open_page: OpenPage, width: int) -> None:
    page = open_page(width=width)
    wider = """[...document.querySelectorAll(".field *")].filter((inner) =>
        inner.getBoundingClientRect().right > inner.closest(".field").getBoundingClientRect().right + 1)"""
    assert page.evaluate(f"{wider}.map((inner) => inner.outerHTML)") == []


def test_api_key_is_requested_sent_and_kept_in_the_tab_only(open_page: OpenPage, page_server: PageService) -> None:
    def require_key(request: Request) -> Response | None:
        if request.headers.get("x-api-key") == "open sesame":
            return None
        return JSONResponse({"detail": "a key is required"}, status_code=401)

    page_server.override = require_key
    page = open_page()
    page.get_by_role("button", name="Use example values").click()
    page.get_by_role("button", name="Predict").click()
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("API key is not valid")).to_be_visible()
    expect(field).to_be_focused()
    page.keyboard.type("open sesame")
    page.keyboard.press("Enter")
    page.locator("#predicted-value").wait_for()
    expect(field).to_be_hidden()
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#prediction-title")).to_be_focused()
    assert len(page_server.requests) == 2
    assert page.evaluate("[localStorage.length, document.cookie, location.search]") == [0, "", ""]


def test_prediction_without_explanation_states_the_reason(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    page_server.override = lambda request: (
        JSONResponse({"detail": "no"}, status_code=400) if request.url.query else None
    )
    predict(page)
    expect(page.locator("#prediction")).to_contain_text("contributions of the inputs are not available.")
    assert page_server.requests == [EXAMPLE]
    content = {"prediction": True, "model_version": page_server.artifact.version, "prediction_id": "1"}
    page_server.override = lambda request: JSONResponse(
        content | {"explanation": None, "no_explanation": "the queue is full"}
    )
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#prediction")).to_contain_text("not available: the queue is full.")


def test_shows_fallback_review_and_model_change(open_page: OpenPage, page_server: PageService) -> None:
    content = {"prediction": False, "model_version": "another@1", "prediction_id": "1"}
    page_server.override = lambda request: JSONResponse(content | {"fallback": "rule", "review": True})
    page = open_page()
    predict(page)
    for sentence in ("A rule made this prediction", "A person will also review this case", "model has changed since"):
        expect(page.locator("#prediction")).to_contain_text(sentence)


@pytest.mark.parametrize(
    ("status", "detail", "message"),
    [
        (503, [{"loc": ["body"], "msg": "it is not loaded", "type": "x"}], "(503): it is not loaded. Try again in 7 s"),
        (429, "slow down", "Too many requests. Try again in 7 seconds."),
        (422, [{"loc": ["body"], "msg": "the model cannot score this", "type": "x"}], "cannot score this"),
        (403, "no", "not allowed to request predictions"),
    ],
)  # fmt: skip
def test_shows_error_responses(
    open_page: OpenPage, page_server: PageService, status: int, detail: Any, message: str
) -> None:
    page = open_page()
    predict(page)
    page_server.override = respond_with(status, detail, **{"Retry-After": "7"})
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#request-error")).to_contain_text(message)
    expect(page.locator("#prediction")).to_be_hidden()


def test_shows_that_the_service_cannot_be_reached(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    page.context.set_offline(True)
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")


def test_print_has_inputs_and_prediction_but_no_buttons(open_page: OpenPage, page_server: PageService) -> None:
    page = open_page()
    predict(page)
    page.emulate_media(media="print")
    assert page.get_by_role("button").count() == 0
    expect(page.locator("#predicted-value")).to_be_visible()
    expect(page.locator("#f3")).to_be_visible()


def test_real_service_predicts_its_example(open_page: OpenPage, packaged: demo.Packaged) -> None:
    app = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(app) as client:
        page = open_page(url=str(client.base_url))
        prediction = None
        for _ in range(100):
            page.get_by_role("button", name="Use example values").click()
            with page.expect_response("**/predict?explain=true") as response:
                page.get_by_role("button", name="Predict").click()
            if response.value.status != 503:
                prediction = json.loads(response.value.text())
                break
            page.wait_for_timeout(100)
        assert prediction is not None, "the model was not loaded"
        expect(page.locator("#predicted-value")).to_have_text("Yes" if prediction["prediction"] else "No")
