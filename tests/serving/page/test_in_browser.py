"""The page as people use it, in a headless Chromium."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import Request
from fastapi.responses import JSONResponse, Response
from playwright.sync_api import Page, expect

from serving.app import create_app
from serving.settings import ServiceSettings
from skline.scoring.golden import read_rows
from tests import demo
from tests.conftest import running
from tests.serving.page.conftest import OpenPage
from tests.serving.page.service import CONTRACT, Service

EXAMPLE = {
    "day": "2026-03-01", "moment": "2026-02-01T10:30", "amount": 12.5, "visits": 3, "member": True,
    "town & county": "A<b>", "plan": "basic", "level": 2,
}  # fmt: skip


def predict(page: Page) -> None:
    """Ask for the example, and wait for the answer."""
    page.get_by_role("button", name="Fill in the example").click()
    page.get_by_role("button", name="Predict").click()
    page.locator("#verdict").wait_for()


def tab_to(page: Page, key: str) -> None:
    """Press Tab until the focus is there; dates have several stops."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == key:
            return
    raise AssertionError(f"Tab never comes to {key}")


def refusing(status: int, detail: Any, **headers: str) -> Any:
    """A service that only refuses."""
    return lambda request: JSONResponse({"detail": detail}, status_code=status, headers=headers)


def sizes(page: Page) -> list[str]:
    return [bar.evaluate("bar => bar.style.getPropertyValue('--size')") for bar in page.locator(".track i").all()]


def test_the_keyboard_alone_asks_and_is_answered(open_page: OpenPage, small: Service) -> None:
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
    page.locator("#verdict").wait_for()
    assert small.asked == [
        {
            "day": "2026-03-01", "moment": "2026-02-01T10:30", "amount": None, "visits": 7, "member": False,
            "town & county": 'Ghent "& co"', "plan": "gold", "level": 3,
        }
    ]  # fmt: skip
    expect(page.locator("#answer-title")).to_be_focused()


def test_the_answer_shows_chances_and_contributions_largest_first(open_page: OpenPage, small: Service) -> None:
    page = open_page()
    predict(page)
    assert small.asked == [EXAMPLE]
    row = read_rows(CONTRACT, [EXAMPLE])[0]
    prediction, chances = small.plan.score_row(row)
    assert chances is not None
    expect(page.locator("#verdict")).to_have_text("Yes" if prediction else "No")
    yes = page.locator(".chances li", has_text="Yes")
    expect(yes.locator("b")).to_have_text(f"{100 * chances[1]:.1f} %")
    assert yes.locator(".bar i").evaluate("bar => bar.style.getPropertyValue('--size')") == f"{100 * chances[1]:.2f}%"

    explanation = small.explainer.explain(row)
    expected = sorted(explanation.contributions.items(), key=lambda item: -abs(item[1]))
    lines = page.locator(".ledger tbody tr:not(.start)")
    assert [text.split("\n")[0].lower() for text in lines.locator("th").all_inner_texts()] == [n for n, _ in expected]
    shown = [float(text.replace("\N{MINUS SIGN}", "-")) for text in lines.locator("td:last-child").all_inner_texts()]
    assert shown == pytest.approx([value for _, value in expected], abs=0.005)
    largest = abs(expected[0][1])
    assert [float(size[:-1]) for size in sizes(page)] == pytest.approx(
        [50 * abs(value) / largest for _, value in expected], abs=0.01
    )
    for (_, value), mark in zip(expected, page.locator(".track i").all(), strict=True):
        assert (mark.get_attribute("class") == "minus") == (value < 0)
    total = page.locator(".ledger tfoot td:last-child").inner_text().replace("\N{MINUS SIGN}", "-")
    assert float(total) == pytest.approx(explanation.score, abs=0.005)
    assert "A<b>" in page.locator("#answer").inner_text()

    page.locator("#f3").fill("5")
    expect(page.locator("#outdated")).to_be_visible()


def test_faults_stand_beside_their_fields_and_the_first_has_the_focus(open_page: OpenPage, small: Service) -> None:
    page = open_page()
    page.get_by_role("button", name="Fill in the example").click()
    page.locator("#f2").fill("-1")
    page.locator("#f3").fill("two")
    page.locator("#f4-no").check()
    page.locator("#f7").select_option("")
    page.get_by_role("button", name="Predict").click()
    for key, word in (("f2", "greater than or equal to 0"), ("f3", "valid integer"), ("f7", "needs an answer")):
        fault = page.locator(f"#{key}-fault")
        expect(fault).to_contain_text(word)
        expect(page.locator(f"#{key}")).to_have_attribute("aria-invalid", "true")
        assert f"{key}-fault" in str(page.locator(f"#{key}").get_attribute("aria-describedby"))
    expect(page.locator("#f2")).to_be_focused()
    expect(page.get_by_role("alert").filter(has_text="3 fields")).to_be_visible()
    assert page.locator(".fault:visible").count() == 3

    page.get_by_role("alert").get_by_role("link", name="Level").click()
    expect(page.locator("#f7")).to_be_focused()
    page.locator("#f2").fill("9007199254740993.25")
    page.locator("#f3").fill("4")
    page.locator("#f7").select_option("3")
    sent = []
    page.on("request", lambda request: sent.append(request.post_data))
    page.get_by_role("button", name="Predict").click()
    page.locator("#verdict").wait_for()
    assert '"amount":9007199254740993.25,' in sent[0]  # as it was written: the service rounds, not the page
    assert page.locator(".fault:visible, [aria-invalid]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(open_page: OpenPage, small: Service, scheme: str) -> None:
    page = open_page(scheme=scheme)
    checked = Axe().run(page)
    assert checked.violations_count == 0, checked.generate_report()
    predict(page)
    checked = Axe().run(page)
    assert checked.violations_count == 0, checked.generate_report()
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Predict").click()
    page.locator("#summary").wait_for()
    checked = Axe().run(page)
    assert checked.violations_count == 0, checked.generate_report()
    small.refuse = refusing(401, "a key is needed")
    page.get_by_role("button", name="Predict").click()
    page.locator("#key").wait_for()
    checked = Axe().run(page)
    assert checked.violations_count == 0, checked.generate_report()


def test_nothing_is_wider_than_a_phone_and_nothing_comes_from_another_host(open_page: OpenPage, small: Service) -> None:
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
def test_controls_stay_within_their_fields(open_page: OpenPage, width: int) -> None:
    page = open_page(width=width)
    wider = """[...document.querySelectorAll(".field *")].filter((inner) =>
        inner.getBoundingClientRect().right > inner.closest(".field").getBoundingClientRect().right + 1)"""
    assert page.evaluate(f"{wider}.map((inner) => inner.outerHTML)") == []


def test_a_key_is_asked_for_sent_and_kept_in_the_tab_only(open_page: OpenPage, small: Service) -> None:
    def wants_key(request: Request) -> Response | None:
        if request.headers.get("x-api-key") == "open sesame":
            return None
        return JSONResponse({"detail": "a key is needed"}, status_code=401)

    small.refuse = wants_key
    page = open_page()
    page.get_by_role("button", name="Fill in the example").click()
    page.get_by_role("button", name="Predict").click()
    field = page.get_by_label("API key")
    expect(field).to_be_focused()
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("does not accept this key")).to_be_visible()
    expect(field).to_be_focused()
    page.keyboard.type("open sesame")
    page.keyboard.press("Enter")
    page.locator("#verdict").wait_for()
    expect(field).to_be_hidden()
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer-title")).to_be_focused()
    assert len(small.asked) == 2
    assert page.evaluate("[localStorage.length, document.cookie, location.search]") == [0, "", ""]


def test_without_explanations_the_answer_stands_with_a_sentence(open_page: OpenPage, small: Service) -> None:
    page = open_page()
    small.refuse = lambda request: JSONResponse({"detail": "no"}, status_code=400) if request.url.query else None
    predict(page)
    expect(page.locator("#answer")).to_contain_text("contributed is not available here.")
    assert small.asked == [EXAMPLE]
    answer = {"prediction": True, "model_version": small.artifact.version, "prediction_id": "1"}
    small.refuse = lambda request: JSONResponse(answer | {"explanation": None, "no_explanation": "it is a riddle"})
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#answer")).to_contain_text("not available here: it is a riddle.")


def test_an_answer_that_is_not_the_models_and_one_for_review_say_so(open_page: OpenPage, small: Service) -> None:
    answer = {"prediction": False, "model_version": "another@1", "prediction_id": "1"}
    small.refuse = lambda request: JSONResponse(answer | {"fallback": "rule", "review": True})
    page = open_page()
    predict(page)
    for sentence in ("a rule answered instead", "A person will look at this", "model was changed since"):
        expect(page.locator("#answer")).to_contain_text(sentence)


@pytest.mark.parametrize(
    ("status", "detail", "said"),
    [
        (503, [{"loc": ["body"], "msg": "it is not loaded", "type": "x"}], "(503): it is not loaded. Try again in 7 s"),
        (429, "slow down", "Too many questions. Try again in 7 seconds."),
        (422, [{"loc": ["body"], "msg": "the model cannot score this", "type": "x"}], "cannot score this"),
        (403, "no", "may not ask for predictions"),
    ],
)  # fmt: skip
def test_a_refusal_is_told(open_page: OpenPage, small: Service, status: int, detail: Any, said: str) -> None:
    page = open_page()
    predict(page)
    small.refuse = refusing(status, detail, **{"Retry-After": "7"})
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("#trouble")).to_contain_text(said)
    expect(page.locator("#answer")).to_be_hidden()


def test_a_service_that_is_gone_is_told(open_page: OpenPage, small: Service) -> None:
    page = open_page()
    page.context.set_offline(True)
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("could not be reached")


def test_print_has_values_and_answer_and_no_buttons(open_page: OpenPage, small: Service) -> None:
    page = open_page()
    predict(page)
    page.emulate_media(media="print")
    assert page.get_by_role("button").count() == 0
    expect(page.locator("#verdict")).to_be_visible()
    expect(page.locator("#f3")).to_be_visible()


def test_the_real_service_answers_its_example(open_page: OpenPage, packaged: demo.Packaged) -> None:
    app = create_app(ServiceSettings(artifact=packaged.folder, artifact_digest=packaged.digest))
    with running(app) as client:
        page = open_page(url=str(client.base_url))
        answer = None
        for _ in range(100):
            page.get_by_role("button", name="Fill in the example").click()
            with page.expect_response("**/predict?explain=true") as asked:
                page.get_by_role("button", name="Predict").click()
            if asked.value.status != 503:
                answer = json.loads(asked.value.text())
                break
            page.wait_for_timeout(100)
        assert answer is not None, "the model was never loaded"
        expect(page.locator("#verdict")).to_have_text("Yes" if answer["prediction"] else "No")
