"""A headless Chromium with the page of a small service."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from skline.artifact import Artifact
from tests.fixtures import page_service

#: Names on Debian, on Ubuntu, and on GitHub's runners.
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        reason = f"none of {', '.join(EXECUTABLES)} is installed; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Scope "module": while Playwright runs, no other test in this process can run an event loop.
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not work for root
        browser = playwright.chromium.launch(executable_path=executable, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return page_service.package(tmp_path_factory.mktemp("page") / "artifact")


@pytest.fixture(scope="module")
def running(artifact: Artifact) -> Iterator[tuple[page_service.PageService, str]]:
    with page_service.serving(artifact) as running:
        yield running


@pytest.fixture
def page_server(running: tuple[page_service.PageService, str]) -> page_service.PageService:
    """The service, reset to normal responses."""
    running[0].requests.clear()
    running[0].override = lambda request: None
    return running[0]


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(
    browser: Browser, running: tuple[page_service.PageService, str], page_server: page_service.PageService
) -> Iterator[OpenPage]:
    """Open the page in a new browser context; errors and policy violations on the page fail the test."""
    errors: list[str] = []
    contexts = []

    def open_new(width: int = 1280, scheme: str = "light", url: str = running[1]) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, locale="en-US")  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Policy" in message.text else None)
        page.goto(url)
        return page

    yield open_new
    for context in contexts:
        context.close()
    assert not errors
