"""Make the pictures of the page in the documentation, with Chromium and the demo model.

python docs/make_page_picture.py
"""

from __future__ import annotations

import shutil
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from clip_surgery import load
from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.model_choices import ModelChoices
from clip_surgery.apps.page.serving import serving
from clip_surgery.evaluation import SceneDataset

PICTURES = Path(__file__).parent / "pictures"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WEBP: dict[str, Any] = {"quality": 90, "method": 6, "use_sharp_yuv": True}


def main() -> None:
    actions = Actions(models=ModelChoices.of([load("demo", vocabulary="common")]))
    with serving(actions) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        save(open_page(browser, f"{address}?example=0"), "page")
        save(open_page(browser, f"{address}?example=3", scheme="dark"), "page-dark")
        save(
            open_page(browser, f"{address}?example=0&text=octopus&text=key", width=390),
            "page-narrow",
        )
        compared = open_page(browser, f"{address}?example=0&text=octopus&text=key&text=donut")
        compared.get_by_role("tab", name="Compare", exact=True).click()
        compared.click("#compare-button")
        compared.wait_for_selector("#compare .cs-card")
        save(compared, "page-compare")
        save_match_and_attention(open_page(browser, f"{address}?example=0"))
        save_match_of_images(open_page(browser, f"{address}?example=0"))
        browser.close()


def save_match_and_attention(page: Any) -> None:
    """Save the results of the tabs Match and Attention."""
    page.get_by_role("tab", name="Match", exact=True).click()
    page.get_by_label("Why this text").fill("a photo of an octopus")
    page.get_by_label("And not this one").fill("a photo of a key")
    page.click("#show-why")
    page.wait_for_selector("#match .cs-card")
    save(page, "page-match")
    page.get_by_role("tab", name="Attention", exact=True).click()
    page.locator("#attention .cs-frame").first.click(position={"x": 160, "y": 180})
    page.wait_for_selector("#attention .cs-layer")
    page.click("#heads-of-point")
    page.wait_for_selector("#attention .cs-thumbs")
    save(page, "page-attention")


def save_match_of_images(page: Any) -> None:
    """Save the result of the tab Match for two images that both show a turtle."""
    scenes = SceneDataset(seed=11, count=12, size=480)
    page.get_by_role("tab", name="Match", exact=True).click()
    page.get_by_text("Compare with images").click()
    page.get_by_label("Remove Image").first.click()
    with tempfile.TemporaryDirectory() as folder:
        for element, name, scene in (
            ("image", "owl.png", scenes[0]), ("match-like", "horse.png", scenes[11]),
        ):  # fmt: skip
            scene.image.save(Path(folder) / name)
            page.set_input_files(f"#{element} input[type=file]", Path(folder) / name)
            page.wait_for_selector(f"#{element} img")
    page.click("#show-why")
    page.wait_for_selector("#match .cs-pair .cs-layer")
    save(page, "page-match-images")


def open_page(browser: Browser, address: str, *, width: int = 1280, scheme: Any = "light") -> Any:
    """Open the page with an example and wait for its maps."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#maps .cs-card", timeout=120_000)
    return page


def save(page: Any, name: str) -> None:
    """Save the whole page as an image, in full colour."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1_500)  # fading elements
    with Image.open(BytesIO(page.screenshot(full_page=True))) as image:
        image.convert("RGB").save(PICTURES / f"{name}.webp", **WEBP)


if __name__ == "__main__":
    main()
