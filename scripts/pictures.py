"""`python -m scripts.pictures`: take the pictures of README.md from the running project, with a headless Chromium.

It needs the results of `dvc repro`, and writes `docs/images/report.png` and `docs/images/page.png`.
"""

import os
import shutil
from pathlib import Path

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from skline import paths, testing
from skline.errors import SklineError

IMAGES = Path(__file__).parent.parent / "docs/images"
#: Names on Debian, on Ubuntu, and on GitHub's runners.
EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
SIZE: ViewportSize = {"width": 960, "height": 720}


def main() -> None:
    """Take both pictures.

    Raises
    ------
    SklineError
        If no Chromium is installed, or there is no report.
    """
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        raise SklineError(f"none of {', '.join(EXECUTABLES)} is installed; on Debian: apt-get install chromium")
    if not paths.REPORT.is_file():
        raise SklineError(f"{paths.REPORT} is missing; run `dvc repro`")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox does not work for root
        browser = playwright.chromium.launch(executable_path=executable, args=sandbox)
        take_report(browser)
        take_page(browser)
        browser.close()


def take_report(browser: Browser) -> None:
    """Take the top of the evaluation report."""
    page = browser.new_page(viewport=SIZE)
    page.goto(paths.REPORT.absolute().as_uri())
    page.screenshot(path=IMAGES / "report.png")


def take_page(browser: Browser) -> None:
    """Take the page of the service with a prediction for the example values."""
    with testing.service() as client:
        page = browser.new_page(viewport=SIZE, extra_http_headers={"X-API-Key": client.headers["X-API-Key"]})
        page.goto(str(client.base_url))
        page.get_by_role("button", name="Use example values").click()
        page.get_by_role("button", name="Predict").click()
        page.locator("#prediction").wait_for(state="visible")
        page.screenshot(path=IMAGES / "page.png")


if __name__ == "__main__":
    main()
