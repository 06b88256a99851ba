"""A headless Chromium, and the page of a small service in it."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from skline.artifact import Artifact
from tests.serving.page import service

#: Debian's, Ubuntu's, and what GitHub's runners come with.
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"none of {', '.join(NAMES)} is installed; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # For one module at a time: while Playwright runs, no other test of this process can run an event loop.
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
        browser = playwright.chromium.launch(executable_path=found, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return service.package(tmp_path_factory.mktemp("page") / "artifact")


@pytest.fixture(scope="module")
def running(artifact: Artifact) -> Iterator[tuple[service.Service, str]]:
    with service.serving(artifact) as running:
        yield running


@pytest.fixture
def small(running: tuple[service.Service, str]) -> service.Service:
    """The service, answering."""
    running[0].asked.clear()
    running[0].refuse = lambda request: None
    return running[0]


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, running: tuple[service.Service, str], small: service.Service) -> Iterator[OpenPage]:
    """Open the page in a window of its own; whatever the page complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def opened(width: int = 1280, scheme: str = "light", url: str = running[1]) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-US")  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if "Policy" in message.text else None)
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints
