"""Texts for messages: what may be secret in a URL is not in them."""

import pytest

from imageset.runtime import secret_text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hidden@h/a@2x.jpg", "https://h/a@2x.jpg"),
        ("https://h:8080/a@2x.jpg", "https://h:8080/a@2x.jpg"),
        ("https://me:hid/den@h/a.jpg", "https://h/a.jpg"),
        ("https:\\\\me:hidden@h/a.jpg", "https:\\\\h/a.jpg"),
        ("https:/me:hidden@h/a.jpg", "https:/h/a.jpg"),
        ("https://me:hid\nden@h/a.jpg", "https://h/a.jpg"),
        ("me:hidden@h/a.jpg", "me:h/a.jpg"),
        ("webdav://me:hidden@h/a", "webdav://h/a"),
        ("s3://photos/a@2x.jpg", "s3://photos/a@2x.jpg"),
        ("file:///photos/a@2x.jpg", "file:///photos/a@2x.jpg"),
    ],
)
def test_a_message_shows_no_password_of_a_url_however_it_is_written(url: str, shown: str) -> None:
    assert secret_text.show_url(url) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no answer at https://me:hidden@h/a?b=hidden: run again", "no answer at https://h/a: run again"),
        ("(postgresql+psycopg2://me:hid/den@h:1/shop), twice", "(postgresql+psycopg2://h:1/shop), twice"),
        (
            "such as postgresql://user:password@host:5432/database",
            "such as postgresql://user:password@host:5432/database",
        ),
        ("s3://photos/a@2x.jpg at http://127.0.0.1:9000", "s3://photos/a@2x.jpg at http://127.0.0.1:9000"),
        ("write to me@shop.example: all is well", "write to me@shop.example: all is well"),
        ("two: http://a:hidden@h/ http://b:hidden@h/", "two: http://h/ http://h/"),
    ],
)
def test_a_text_shows_no_password_of_the_urls_in_it(text: str, shown: str) -> None:
    assert secret_text.hide_urls(text) == shown


@pytest.mark.parametrize("value", ["tcp://me:hidden@h:1", "s3://me:hid/den@bucket", "hidden@", "http://h/?key=hidden"])
def test_a_setting_that_may_have_a_password_is_not_shown(value: str) -> None:
    assert "hid" not in secret_text.show_setting(value)
