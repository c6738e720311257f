"""Make the picture of the page in the documentation, with Chromium and the demo model.

python docs/make_page_picture.py
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from clip_surgery import load
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.model_choices import ModelChoices
from clip_surgery.apps.page.serving import serving

PICTURE = Path(__file__).parent / "pictures/page.png"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    actions = Actions(models=ModelChoices.of([load("demo", vocabulary="common")]))
    with serving(actions) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(address)
        page.click("[data-example='0']")
        page.wait_for_selector("#maps .cs-card")
        page.mouse.move(0, 0)
        page.wait_for_timeout(1_000)  # fading elements
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
