"""Draw a comparison as GitHub would show it in a comment: the picture of docs/ci.md.

It needs the packages of requirements-dev.txt, and Chromium. Run it on the Markdown that `python -m tools.compare --out`
wrote:

    python docs/images/make_comparison.py comparison.md docs/images/comparison.webp
"""

import io
import shutil
import sys
from pathlib import Path

from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH = 860  # of the comment, in pixels; the picture has half as many again
STYLE = """
body { margin: 0; background: #fff; color: #1f2328; font: 14px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; }
article { border: 1px solid #d1d9e0; border-radius: 6px; padding: 16px; margin: 8px; }
h1, h2 { font-weight: 600; padding-bottom: .3em; border-bottom: 1px solid #d1d9e0; line-height: 1.25; }
h1 { font-size: 2em; margin: 0 0 16px; } h2 { font-size: 1.5em; margin: 24px 0 16px; }
ul { padding-left: 2em; margin: 0 0 16px; } li + li { margin-top: .25em; }
table { border-collapse: collapse; margin-bottom: 16px; }
td, th { border: 1px solid #d1d9e0; padding: 6px 13px; } tr:nth-child(even) td { background: #f6f8fa; }
code { background: #eff1f3; border-radius: 6px; padding: .2em .4em; font: 85% ui-monospace, monospace; }
"""


def draw(markdown: str) -> Image.Image:
    """Return the picture of a comment. Folded parts are closed, as GitHub first shows them."""
    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": 100}, device_scale_factor=1.5, color_scheme="light")
        page.set_content(f"<!DOCTYPE html><style>{STYLE}</style><article>{body}</article>")
        shown = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
        browser.close()
    return shown


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    draw(source.read_text(encoding="utf-8").split("\n## Class balance")[0]).save(target, quality=80, method=6)
