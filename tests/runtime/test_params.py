"""params.yaml: what is wrong is named, in one line."""

from pathlib import Path
from typing import Annotated, Self, cast

import pytest
from pydantic import Field, Strict, model_validator

from imageset.errors import ParamsError
from imageset.runtime import params
from imageset.runtime.sections import Params, Section
from tests.project import ROOT


class ShopParams(Section):
    """A section with a key of every kind that the project's sections use."""

    name: str
    copies: int = Field(ge=1)
    share: float = Field(ge=0, le=1)
    limit: int | None = None
    degrees: Annotated[tuple[float, float], Strict(False)] = (0.0, 1.0)

    @model_validator(mode="after")
    def degrees_ascend(self) -> Self:
        if self.degrees[0] > self.degrees[1]:
            raise ValueError("degrees: the first number has to be the lower one")
        return self


class ShopProject(Section):
    """A params.yaml of one section."""

    shop: ShopParams


GOOD = {"name": "u2netp", "copies": "5", "share": "0.2"}


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A project whose only section is shop."""
    monkeypatch.setattr(params, "Params", ShopProject)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def write_shop(path: Path, **changes: str) -> None:
    lines = [f"  {key}: {value}" for key, value in (GOOD | changes).items()]
    path.write_text("\n".join(["shop:", *lines, ""]), encoding="utf-8")


def load(path: Path) -> ShopParams:
    """Return the section of a file that is accepted."""
    project = cast(ShopProject, params.load(path))
    return project.shop


ADD = ": add it; CHANGELOG.md has the values of new params that change nothing"


def refusal(path: Path) -> str:
    """Return the message with which the file is refused."""
    with pytest.raises(ParamsError) as caught:
        params.load(path)
    return str(caught.value)


def test_a_good_section_has_the_types_of_its_model(path: Path) -> None:
    write_shop(path, limit="null", degrees="[-20, 20.5]")

    assert load(path) == ShopParams(name="u2netp", copies=5, share=0.2, degrees=(-20.0, 20.5))


@pytest.mark.parametrize(
    ("key", "text", "shown"),
    [
        ("copies", "'5'", "'5'"),
        ("copies", "5.0", "5.0"),
        ("copies", "yes", "True"),
        ("copies", "0", "0"),
        ("copies", "null", "None"),
        ("share", "1e3", "'1e3'"),  # text to PyYAML
        ("share", ".inf", "inf"),
        ("share", ".nan", "nan"),
        ("share", "1.01", "1.01"),
        ("share", "true", "True"),
        ("name", "NO", "False"),  # a boolean to PyYAML
        ("name", "7", "7"),
        ("name", "2026-01-31", "datetime.date(2026, 1, 31)"),
        ("limit", "many", "'many'"),
        ("degrees", "[1, 2, 3]", "[1, 2, 3]"),
        ("degrees", "7", "7"),
    ],
)
def test_a_wrong_value_is_named_with_its_file_and_key(path: Path, key: str, text: str, shown: str) -> None:
    write_shop(path, **{key: text})
    message = refusal(path)

    assert message.startswith(f"{path}: shop.{key} = {shown}: ")
    assert "\n" not in message


def test_a_wrong_item_of_a_list_is_named_with_its_place(path: Path) -> None:
    write_shop(path, degrees="[1, '2']")

    assert refusal(path).startswith(f"{path}: shop.degrees.1 = '2': ")


def test_a_rule_about_several_values_is_told_without_the_whole_section(path: Path) -> None:
    write_shop(path, degrees="[2, 1]")

    assert refusal(path) == f"{path}: shop: degrees: the first number has to be the lower one"


def test_an_unknown_key_is_refused_with_the_nearest_known_one(path: Path) -> None:
    write_shop(path, copys="3")

    assert refusal(path) == f"{path}: shop.copys: no such key; did you mean 'copies'?"


def test_a_missing_key_is_named(path: Path) -> None:
    path.write_text("shop:\n  name: u2netp\n  share: 0.2\n")

    assert refusal(path) == f"{path}: shop.copies is missing{ADD}"


def test_a_missing_section_is_named(path: Path) -> None:
    path.write_text("{}")

    assert refusal(path) == f"{path}: section 'shop' is missing{ADD}"


@pytest.mark.parametrize("text", ["shopp:\n  copies: 5\n", "shop:\n  name: a\n  copies: 5\n  share: 0.1\nshopp: {}\n"])
def test_an_unknown_section_is_named_with_the_nearest_one(path: Path, text: str) -> None:
    path.write_text(text)

    assert refusal(path) == f"{path}: shopp: no such section; did you mean 'shop'?"


def test_of_a_misspelt_key_the_wrong_spelling_is_named(path: Path) -> None:
    path.write_text("shop:\n  name: a\n  copise: 5\n  share: 0.1\n")

    assert refusal(path) == f"{path}: shop.copise: no such key; did you mean 'copies'?"


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ("\npreprocess:", "\npreprocess:\n  background: keep", "preprocess.background is masks.background now"),
        ("\npreprocess:", "\npreprocess:\n  mask_side: null", "preprocess.mask_side is masks.side now"),
    ],
)
def test_a_key_of_an_earlier_version_is_refused_with_its_new_place(
    old: str, new: str, moved: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "Params", Params)
    shipped = (ROOT / "params.yaml").read_text()
    path.write_text(shipped.replace(old, new))

    assert refusal(path) == f"{path}: {moved}: move it there, as in CHANGELOG.md"


def test_of_a_params_file_of_an_earlier_version_the_first_key_that_moved_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "Params", Params)
    before, _, rest = (ROOT / "params.yaml").read_text().partition("\nmasks:")
    _, head, after = rest.partition("\npreprocess:")
    path.write_text(f"{before}{head}\n  background: remove\n  mask_side: null\n{after.partition(chr(10))[2]}")

    assert refusal(path) == f"{path}: preprocess.background is masks.background now: move it there, as in CHANGELOG.md"


def test_every_key_that_moved_is_a_key_no_more_and_its_new_place_is_one() -> None:
    keys = {f"{name}.{key}" for name, section in params.parse(ROOT / "params.yaml").items() for key in section}

    assert params.MOVED.keys().isdisjoint(keys)
    assert set(params.MOVED.values()) <= keys


@pytest.mark.parametrize(
    "text",
    ["shop:\n  a: 1\n  b: 2\n  a: 1\n", "shop: {a: 1}\nother: {}\nshop: {a: 1}\n", "shop:\n  - {deep: {a: 1, a: 2}}\n"],
)
def test_a_repeated_key_is_refused_with_its_line(path: Path, text: str) -> None:
    path.write_text(text)

    assert " is given twice in " in refusal(path)
    assert f"line {3 if text.startswith('shop: ') else text.count(chr(10))}," in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- shop\n",
        b"shop\n",
        b"shop: [\n",
        b"shop: 7\n",
        b"shop:\n",
        b"\tshop: {}\n",
        b"shop: \xff\n",
        b"shop: \x01\n",
        b"shop: 2026-13-45\n",
        b"? [a, b]\n: 1\n",
        b"shop: !!python/object/apply:os.getcwd []\n",
        b"a: {}\n---\nb: {}\n",
    ],
)
def test_what_is_no_section_is_refused_in_one_line_that_names_the_file(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    message = refusal(path)

    assert message.startswith(f"{path}: ")
    assert "\n" not in message


def test_a_missing_file_is_refused_with_what_to_do(path: Path) -> None:
    assert refusal(path) == f"{path} is missing: run from the project's root"


def test_params_do_not_change_after_loading(path: Path) -> None:
    write_shop(path)
    shop = load(path)

    with pytest.raises(ValueError, match="frozen"):
        shop.copies = 6


@pytest.mark.parametrize(
    ("shipped", "edited", "said"),
    [
        ("formats: [jpeg, png, webp, gif, avif]", "formats: jpeg", "ingest.formats = 'jpeg': expected a list, such as"),
        (
            "formats: [jpeg, png, webp, gif, avif]",
            "formats: [jpeg, jpeg]",
            r"ingest.formats = \['jpeg', 'jpeg'\]: jpeg is there more than once: write it once",
        ),
        ("fill: [255, 255, 255]", "fill: [255, 255]", r"preprocess.fill = \[255, 255\]: expected more values"),
        ("formats: [jpeg, png, webp, gif, avif]", "formats: []", r"ingest.formats = \[\]: expected more values"),
        ("formats: [jpeg, png, webp, gif, avif]", "formats: [tiff]", "ingest.formats.0 = 'tiff': .*'avif' or 'heic'"),
        ("robots: ignore", "robots: yes", "ingest.robots = True: .*'ignore' or 'obey'"),
        *(
            (f"pixels: 50000000\n{after}", f"pixels: 178956971\n{after}", f"{key} = 178956971: .* equal to 178956970")
            for key, after in (("ingest.max_pixels", "  # File"), ("preprocess.max_pixels", "  # Limits"))
        ),
        ("use_alpha: false", "use_alpha: maybe", "masks.use_alpha = 'maybe': expected true or false"),
        ("use_alpha: false", "use_alpha: [1]", r"masks.use_alpha = \[1\]: expected true or false"),
    ],
)
def test_what_a_param_may_be_is_said_in_plain_words(
    shipped: str, edited: str, said: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(params, "Params", Params)
    text = (ROOT / "params.yaml").read_text()
    assert text.count(shipped) == 1
    path.write_text(text.replace(shipped, edited))

    with pytest.raises(ParamsError, match=rf"^[^\n]*: {said}[^\n]*$"):
        params.load(path)


def test_a_date_that_no_calendar_has_is_shown_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("shop:\n  as_of: 2026-13-45\n")

    assert "2026-13-45 is no date (month must be in 1..12): write one such as " in refusal(path)
    assert "line 2" in refusal(path)
