"""The dataset card and croissant.json, as huggingface_hub and mlcroissant read them."""

import hashlib
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import markdown_it
import mlcroissant
import pandas as pd
import pytest
import yaml
from huggingface_hub import DatasetCard
from pydantic import ValidationError

from imageset.formats import tables
from imageset.report import card, croissant
from imageset.runtime.sections import CardParams
from tests.stages.test_report import make_inputs, run

pytestmark = pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning")  # rdflib's own

EMPTY: dict[str, Any] = dict.fromkeys(CardParams.model_fields)
FILLED = EMPTY | {
    "name": "Clothes: 10 classes",
    "license": "CC-BY-4.0",
    "source": "Listings of [a shop](https://shop.example).",
    "personal_data": "Faces were looked for in 2026. None was found.",
    "takedown": "takedown@shop.example",
    "contact": "data@shop.example",
    "citation": "A shop (2026). Clothes.",
}
HOSTILE = [
    "---\nlicense: mit\n---",
    "![x](http://evil.example/x.png)",
    '<script>alert("1")</script>',
    "a | b",
    "}} {{ 7 * 7 }} {% raw %}",
    "日本 \u202eזנב \u2028 #1",
    "key: [value, {a: b}] & *anchor !!python/object",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


def reports_of(data: Path, folder: Path, **filled: Any) -> Path:
    """Run the stage in a copy of a project whose section card is filled in so; return reports/."""
    copy = Path(shutil.copytree(data, folder / "data"))
    params = yaml.safe_load((data.parent / "params.yaml").read_text())
    params["card"] |= filled
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    run(copy, folder / "reports")
    return folder / "reports"


def head_of(text: str) -> dict[str, Any]:
    """Return the YAML head of a card, as huggingface_hub reads it."""
    head: dict[str, Any] = DatasetCard(text).data.to_dict()  # type: ignore[no-untyped-call]
    return head


def read_croissant(path: Path, monkeypatch: pytest.MonkeyPatch) -> mlcroissant.Dataset:
    """Load a description as mlcroissant does, without a network."""

    def refuse(*_: object) -> None:
        raise AssertionError("asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return mlcroissant.Dataset(jsonld=path)


def test_a_card_that_nobody_filled_in_says_so_and_its_head_has_no_null(data: Path, tmp_path: Path) -> None:
    text = (reports_of(data, tmp_path) / "README.md").read_text()

    assert head_of(text) == {
        "pretty_name": card.UNTITLED,
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
        "source_datasets": ["original"],
        "tags": ["image", "croissant"],
    }
    for topic in card.TOPICS:
        assert f"\n## {topic.heading}\n\nNot filled in. {topic.missing}\n" in text


def test_a_card_that_is_filled_in_says_it_in_head_and_text(data: Path, tmp_path: Path) -> None:
    text = (reports_of(data, tmp_path, **FILLED) / "README.md").read_text()
    head, read = head_of(text), DatasetCard(text)

    assert (head["pretty_name"], head["license"]) == ("Clothes: 10 classes", "cc-by-4.0")
    assert read.text.startswith("\n# Clothes: 10 classes\n")
    assert "Not filled in" not in read.text
    for topic in card.TOPICS:
        assert f"\n## {topic.heading}\n\n{FILLED[topic.key]}\n" in read.text


@pytest.mark.parametrize(
    ("given", "entries"),
    [
        ("MIT", {"license": "mit"}),
        ("ODbL-1.0", {"license": "odbl"}),
        ("CC0-1.0", {"license": "cc0-1.0"}),
        ("LicenseRef-Shop", {"license": "other", "license_name": "licenseref-shop"}),
    ],
)
def test_the_head_has_the_licence_as_the_hub_names_it(given: str, entries: dict[str, str]) -> None:
    head = head_of(card.head(CardParams(**(EMPTY | {"license": given})), 5) + "\n")

    assert {key: value for key, value in head.items() if key.startswith("license")} == entries


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_cannot_leave_the_head(text: str) -> None:
    line = " ".join(text.split("\n"))
    text = card.head(CardParams(**(EMPTY | {"name": line})), 5_000) + "\ntext\n"

    assert head_of(text)["pretty_name"] == line
    assert "license" not in head_of(text)
    assert DatasetCard(text).text == "\ntext\n"


@pytest.mark.parametrize(
    "wrong", [{"name": "a\nb"}, {"name": " "}, {"license": "CC BY"}, {"contact": ""}, {"source": 1}, {"email": "x"}]
)
def test_what_no_card_can_show_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CardParams(**(EMPTY | wrong))


def test_class_names_do_not_act_in_the_card_and_are_whole_in_croissant(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tables.read(data / "label_map.csv", tables.LABEL_MAP)
    copy = Path(shutil.copytree(data, tmp_path / "inputs/data"))
    shutil.copy(data.parent / "params.yaml", copy.parent)
    for number, names in enumerate([HOSTILE[:3], HOSTILE[3:6], HOSTILE[4:]]):
        tables.write(copy / "label_map.csv", tables.LABEL_MAP, table.assign(name=names))
        reports = reports_of(copy, tmp_path / str(number))
        text = (reports / "README.md").read_text()
        html = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").render(DatasetCard(text).text)
        with monkeypatch.context() as offline:
            records = list(read_croissant(reports / "croissant.json", offline).records("classes"))

        assert "license" not in head_of(text)
        assert "<script" not in html
        assert html.count("<img") == 2
        assert "49" not in html.split("Classes</h2>")[1].split("Subsets</h2>")[0]
        assert [record["classes/name"] for record in records] == names


def test_croissant_is_valid_and_describes_file_classes_and_subsets(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = reports_of(data, tmp_path, **FILLED) / "croissant.json"
    read = read_croissant(path, monkeypatch)
    [file] = read.metadata.file_objects
    written = path.parent / file.content_url

    assert not read.metadata.ctx.issues.errors
    assert read.metadata.name == "Clothes: 10 classes"
    assert read.metadata.license == ["CC-BY-4.0"]
    assert read.metadata.cite_as == FILLED["citation"]
    assert file.sha256 == hashlib.sha256(written.read_bytes()).hexdigest()
    assert file.content_size == f"{written.stat().st_size} B"
    assert file.encoding_formats == ["application/x-hdf5"]
    label_map = tables.read(data / "label_map.csv", tables.LABEL_MAP)
    assert pd.DataFrame(read.records("classes"))["classes/catalog_id"].tolist() == label_map["catalog_id"].tolist()
    assert [(row["subsets/name"], row["subsets/rows"]) for row in read.records("subsets")] == [
        ("train", 40),
        ("test", 3),
    ]


def test_croissant_leaves_out_what_is_not_filled_in(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = reports_of(data, tmp_path) / "croissant.json"
    written = json.loads(path.read_text())

    assert not {"license", "citeAs"} & written.keys()
    assert None not in written.values()
    assert len(written["identifier"]) == 64
    assert read_croissant(path, monkeypatch).metadata.name == card.UNTITLED


def test_the_validator_refuses_a_file_without_a_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = croissant.hdf5_object("0" * 64, 1, "A file.")
    del file["sha256"]
    path = tmp_path / "croissant.json"
    path.write_text(json.dumps(croissant.describe(CardParams(**EMPTY), "A dataset.", "1", [file], [])))

    with pytest.raises(mlcroissant.ValidationError, match="sha256"):
        read_croissant(path, monkeypatch)
