"""The comparison as one HTML file with pictures: the photos that changed, as they are in each side's dataset."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd

from imageset.formats import source_ids
from imageset.page.assemble import policy
from imageset.page.picture_files import picture_of
from imageset.page.sheets import encode_picture, shrink
from tools.compare.markdown import count, name_class
from tools.compare.outputs import find_output
from tools.compare.photos import PhotoChanges, Side
from tools.compare.pixels import find_changed_pixels, read_images
from tools.dvc_files import Stage

HERE = Path(__file__).parent
PROCESSED = "data/processed.h5"
MOST_PHOTOS = 24  # of each kind of change
SIDE, QUALITY = 128, 80
NOT_RUN = "Not known: `dvc repro` has not run for this change."
NO_PIXELS = "Not known: `--fetch` brings the pixels from the remote."

Photo = tuple[int, int]


class Group(NamedTuple):
    """Photos that changed in one way: which, and what to say of each."""

    title: str
    text: str
    photos: dict[Photo, str]


class Pixels(NamedTuple):
    """processed.h5 of a side in DVC's cache, and the row of each photo in it."""

    path: Path
    rows: pd.Series


def find_pixels(runs: Mapping[str, Stage], side: Side) -> Pixels | None:
    """Return where the pixels of a side are; None where DVC's cache lacks them."""
    path = find_output(runs, PROCESSED)
    return None if path is None else Pixels(path, side.photos["row"])


def group_changes(changes: PhotoChanges, names: Mapping[int, str]) -> list[Group]:
    """Return the photos that were relabelled, moved, lost or added, those to look at first in front."""

    def name(catalog_id: int) -> str:
        return name_class(names.get(catalog_id, ""), catalog_id)

    texts: dict[str, tuple[pd.DataFrame, Any]] = {
        "Relabelled": (changes.relabelled, lambda row: f"{name(row.base)} → {name(row.head)}"),
        "Moved to another subset": (changes.moved, lambda row: f"{row.base} → {row.head}"),
        "Gone": (changes.gone, lambda row: f"{name(row.catalog_id)}: {row.reason or 'not in head'}"),
        "Added": (changes.added, lambda row: name(row.catalog_id)),
    }
    return [
        Group(
            title,
            count_shown(len(photos)),
            {row.Index: describe(row) for row in photos.head(MOST_PHOTOS).itertuples()},
        )
        for title, (photos, describe) in texts.items()
        if len(photos)
    ]


def count_shown(photos: int) -> str:
    return count(photos, "photo") + (f"; the first {MOST_PHOTOS} are shown" if photos > MOST_PHOTOS else "")


def group_pixels(base: Pixels, head: Pixels) -> Group:
    """Return the photos with the most changed pixels."""
    found = find_changed_pixels(base.path, head.path, base.rows, head.rows, MOST_PHOTOS)
    if found.shapes[0] != found.shapes[1]:
        base_shape, head_shape = (" x ".join(map(str, shape)) for shape in found.shapes)
        text = f"All {count(found.photos, 'photo')} that both sides have: images of {base_shape} became {head_shape}"
        return Group("Other pixels", text, {photo: "" for photo, _ in found.most})
    text = f"{found.changed:,} of the {count(found.photos, 'photo')} that both sides have; the most changed come first"
    if not found.changed:
        text = f"None of the {count(found.photos, 'photo')} that both sides have."
    return Group("Other pixels", text, {photo: f"by {apart:.1f} of 255 on average" for photo, apart in found.most})


def draw_groups(groups: list[Group], base: Pixels, head: Pixels) -> list[dict[str, Any]]:
    """Return what the template shows of each group: its photos before and after."""
    photos = list(dict.fromkeys(photo for group in groups for photo in group.photos))
    sides = {"base": read_images(base.path, base.rows, photos), "head": read_images(head.path, head.rows, photos)}
    urls = {
        (name, photo): f"data:image/webp;base64,{encode_picture(shrink(picture_of(image), SIDE), QUALITY)}"
        for name, images in sides.items()
        for photo, image in images.items()
    }
    return [
        {
            "title": group.title,
            "text": group.text,
            "photos": [
                {
                    "name": source_ids.text(photo[0]) + (f" photo {photo[1]}" if photo[1] else ""),
                    "caption": caption,
                    "pictures": [{"name": side, "url": urls.get((side, photo), "")} for side in sides],
                }
                for photo, caption in group.photos.items()
            ],
        }
        for group in groups
    ]


def make_page(title: str, lines: list[str], sections: list[dict[str, Any]], markdown: str) -> str:
    """Return the page. It can load nothing, and runs no script.

    Args:
        title: what is compared.
        lines: of the verdict, in Markdown.
        sections: what draw_groups returns.
        markdown: the comparison.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    style = (HERE / "page.css").read_text(encoding="utf-8")
    template = environment.from_string((HERE / "page.html").read_text(encoding="utf-8"))
    return template.render(
        title=title,
        policy=policy("", style),
        style=style,
        lines=[to_html(line) for line in lines],
        sections=sections,
        markdown=markdown,
    )


def to_html(line: str) -> str:
    """Return a line of the verdict as HTML: its code and its bold parts; all else is text.

    >>> to_html("**1 class**: `<b>`")
    '<strong>1 class</strong>: <code>&lt;b&gt;</code>'
    >>> to_html("**from `#12` on**")
    '<strong>from <code>#12</code> on</strong>'
    """
    parts = re.split(r"(`+)(.+?)\1(?!`)", line)
    codes = iter([f"<code>{html.escape(part.strip())}</code>" for part in parts[2::3]])
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape("\0".join(parts[::3])))  # no line has a \0
    return re.sub("\0", lambda _: next(codes), text)
