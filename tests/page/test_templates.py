"""The source of the page: no module writes HTML or loads anything, and a reader can follow each."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from imageset.page.assemble import DECLARED, IMPORT, assemble, bundle
from tests.project import ROOT

TEMPLATES = ROOT / "stages/templates/page"
MODULES = {path.name: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.js"))}
LONGEST_FUNCTION = 50  # lines, as of Python (tests/pipeline/test_house.py)
# What makes markup or code out of a text, and what sends or loads something.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|setHTML|createContextualFragment|DOMParser|document\.write|srcdoc"
    r"|\beval\(|\bnew Function|javascript:|\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bWorker\("
    r"|setAttribute\(\"(?:style|on)|cssText|document\.cookie"
)
HEAD = re.compile(
    r"^(?P<indent> *)(?!.*\b(?:if|for|while|switch|catch|class)\b \()"
    r"(?:.*\bfunction\b.*|.*=>|(?:static |async |get |set )*[\w$#]+\(.*\)) \{$"
)

METHOD = re.compile(r"^    (?:async |get )?([a-z]\w+)\(.*\) \{$", re.MULTILINE)

every_module = pytest.mark.parametrize("name", MODULES)


def imported_by(name: str) -> set[str]:
    return {other for _, other in IMPORT.findall(MODULES[name])}


def words_of(text: str) -> Counter[str]:
    return Counter(re.findall(r"[\w$]+", text))


def names_in(source: str) -> list[str]:
    """Return the names that a module imports."""
    return [name for names, _ in IMPORT.findall(source) for name in re.findall(r"[\w$]+", names)]


def test_every_export_is_imported_and_every_method_is_called() -> None:
    imported = {name for source in MODULES.values() for name in names_in(source)}
    exported = {name for source in MODULES.values() for export, name in DECLARED.findall(source) if export}
    methods = {name for source in MODULES.values() for name in METHOD.findall(source)}
    words = words_of("".join(MODULES.values()))

    assert exported - imported == set()
    assert [name for name in sorted(methods) if words[name] < 2] == []


@every_module
def test_a_module_uses_what_it_imports_and_declares(name: str) -> None:
    words = words_of(MODULES[name])
    own = [declared for export, declared in DECLARED.findall(MODULES[name]) if not export]

    assert [each for each in (*own, *names_in(MODULES[name])) if words[each] < 2] == []


def reached_from(name: str) -> set[str]:
    """Return a module and all that it imports, and those import."""
    found, waiting = set(), {name}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= imported_by(module) - found
    return found


def function_lengths(source: str) -> Iterator[tuple[str, int]]:
    """Yield the first line of each function of several lines, and how many lines it has.

    A function ends where a line closes it at the indentation of its first line.
    """
    lines = source.splitlines()
    for number, line in enumerate(lines):
        if found := HEAD.match(line):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].startswith(found["indent"] + "}"))
            yield line.strip(), end - number + 1


def test_every_module_is_reached_from_main() -> None:
    assert reached_from("main.js") == set(MODULES)


def test_the_modules_and_the_templates_can_be_put_together() -> None:
    assert "// main.js\n" in bundle(MODULES)
    assert assemble(TEMPLATES, {}, {}).startswith("<!DOCTYPE html>")


@every_module
def test_a_module_makes_no_markup_and_loads_nothing(name: str) -> None:
    assert FORBIDDEN.findall(MODULES[name]) == []


@every_module
def test_a_module_begins_with_what_it_is_for(name: str) -> None:
    assert re.match(r"// [A-Z].*\.\n", MODULES[name].replace("\n// ", " "))


@every_module
def test_what_others_import_is_described(name: str) -> None:
    undescribed = re.findall(r"^(?<!\*/\n)export (.*)$", MODULES[name], re.MULTILINE)

    assert undescribed == []


@every_module
def test_no_function_is_longer_than_a_reader_can_follow(name: str) -> None:
    assert [head for head, lines in function_lengths(MODULES[name]) if lines > LONGEST_FUNCTION] == []


def test_functions_of_every_form_are_measured() -> None:
    source = "\n".join(
        [
            "export async function one() {",
            "    if (a) {",
            "    }",
            "}",
            "const two = (a, b) => {",
            "};",
            "class Three {",
            "    four(a) {",
            "        list.forEach((each) => {",
            "        });",
            "    }",
            "}",
        ]
    )

    assert list(function_lengths(source)) == [
        ("export async function one() {", 4),
        ("const two = (a, b) => {", 2),
        ("four(a) {", 4),
        ("list.forEach((each) => {", 2),
    ]


@pytest.mark.parametrize("text", ["a.innerHTML = b", 'fetch("x")', 'made.setAttribute("style", b)', "eval(a)"])
def test_what_is_forbidden_is_noticed(text: str) -> None:
    assert FORBIDDEN.search(text)


def test_the_html_has_no_style_and_no_script_of_its_own() -> None:
    html = (TEMPLATES / "page.html").read_text(encoding="utf-8")

    assert re.findall(r"<script|<style|<link|<img|<iframe|\sstyle=|\son\w+=|\ssrc=|http", html) == []


def test_the_style_loads_nothing() -> None:
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")

    assert re.findall(r"@import|url\((?!['\"]?data:)|expression\(|@font-face", css) == []


def is_used(name: str, text: str) -> bool:
    """Tell whether a text has a class, whole or as `verdict-${fit}`."""
    stems = ["-".join(name.split("-")[:parts]) for parts in range(1, name.count("-") + 1)]
    return name in text or any(f"{stem}-${{" in text for stem in stems)


def test_every_class_of_the_style_is_used() -> None:
    css = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    used = (TEMPLATES / "page.html").read_text(encoding="utf-8") + "".join(MODULES.values())
    names = set(re.findall(r"\.([a-z][\w-]*)(?=[^{}]*\{)", css))

    assert len(names) > 100
    assert sorted(name for name in names if not is_used(name, used)) == []
