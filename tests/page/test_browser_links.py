"""Links of the page lead to the photos that they speak of, on a page that the stages made."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from imageset.formats import tables
from tests.browser import opened
from tests.page.driving import go, read_data, shown, wait_for_photos
from tests.page.project import Made


@pytest.fixture
def page(browser: Browser, made: Made) -> Iterator[Page]:
    with opened(browser, made.page) as (page, seen):
        expect(page.locator("#tabs a").first).to_be_visible()
        yield page
    seen.assert_quiet(made.page)


def test_every_line_of_the_verdict_that_links_leads_to_something(page: Page, made: Made) -> None:
    go(page, made.page, "summary")
    links = page.locator(".verdict a")
    targets = links.evaluate_all("(all) => all.map((link) => link.getAttribute('href'))")

    assert {"#labels", "#masks", "#oddities", "#photos?kind=any"} <= set(targets)
    assert len(set(links.all_inner_texts())) == len(targets), "a list of links tells them apart"
    for target in targets:
        go(page, made.page, "summary")
        links.nth(targets.index(target)).click()
        expect(page).to_have_url(re.compile(re.escape(target)))
        expect(
            page.locator("main [role=option], main td.cell, main .class-table, main .review-card").first
        ).to_be_visible()


def test_every_count_of_the_funnel_leads_to_so_many_photos(page: Page, made: Made) -> None:
    go(page, made.page, "summary")
    links = page.locator(".funnel-reasons a")
    texts = links.all_inner_texts()

    assert {"not found 1", "truncated 1", "rare class 2", "off topic 1"} <= set(texts)
    for place, text in enumerate(texts):
        go(page, made.page, "summary")
        links.nth(place).click()
        expect(page.locator(".photo-grid [role=option]")).to_have_count(int(text.rsplit(" ", 1)[1].replace(",", "")))


def test_a_cell_of_the_confusion_leads_to_its_photos(page: Page, made: Made) -> None:
    photos = read_data(page)["photos"]
    asked = [at for at, answer in enumerate(photos["answer"]) if answer >= 0]
    own, answer = photos["class"][asked[0]], photos["answer"][asked[0]]
    wanted = [
        (int(photos["product_id"][at]), photos["position"][at])
        for at in asked
        if (photos["class"][at], photos["answer"][at]) == (own, answer)
    ]
    go(page, made.page, "confusion")
    page.locator(f"td.cell[data-own='{own}'][data-answer='{answer}']").click()
    assert sorted(shown(page)) == wanted
    page.get_by_role("link", name="Open in Photos").click()

    wait_for_photos(page, wanted)


def test_the_predictions_are_those_of_the_baseline(page: Page, made: Made) -> None:
    predictions = tables.read(made.folder / "data/predictions.csv", tables.PREDICTIONS)
    right = (predictions["label"] == predictions["answer"]).sum()
    go(page, made.page, "confusion")

    expect(page.locator("main")).to_contain_text(f"named {right} of {len(predictions)} test photos right")


def test_a_pair_shows_both_photos_and_leads_to_them(page: Page, made: Made) -> None:
    go(page, made.page, "pairs")
    for product in made.pair:
        expect(page.locator(".review-card")).to_contain_text(str(product))
    go(page, made.page, "photos?pair=any")

    wait_for_photos(page, [(product, 0) for product in sorted(made.pair)])


def test_label_changes_show_the_photo_whose_labels_contradict(page: Page, made: Made) -> None:
    changes = tables.read(made.folder / "data/label_changes.csv", tables.LABEL_CHANGES)
    go(page, made.page, "changes")

    assert len(changes) == 1
    expect(page.locator("main")).to_contain_text(str(changes["product_id"].iloc[0]))
