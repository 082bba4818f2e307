"""Take the picture of the page that the README shows: its queue of label suspects.

Run it on a project that `make demo PHOTOS=<folder of class folders>` has made, on a machine with Chromium:

    python docs/images/make_screenshot.py data/report.html docs/images/page.webp
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

VIEW = "#labels"
CARD = 5  # of those photos: trousers that are called shorts
WIDTH, HEIGHT, SCALE = 1280, 830, 1.25  # in CSS pixels, and how many pixels each of them has
QUALITY = 80


def take(page_html: Path, browser: str = "/usr/bin/chromium") -> Image.Image:
    """Return a screenshot of the page in its light theme."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, device_scale_factor=SCALE, color_scheme="light"
        )
        page.goto(f"{page_html.resolve().as_uri()}{VIEW}")
        page.wait_for_selector("main img")
        for _ in range(CARD - 1):
            page.keyboard.press("j")
        png = page.screenshot()
        running.close()
    return Image.open(io.BytesIO(png)).convert("RGB")


if __name__ == "__main__":
    take(Path(sys.argv[1])).save(sys.argv[2], quality=QUALITY, method=6)
