"""Put the page together: page.html, page.css, the modules, the data and the pictures in one HTML file.

The template page.html has four markers, each once and in this order. A browser shows what comes before the data while
it still reads the rest.

    <!-- policy -->   the Content-Security-Policy, in <head>
    <!-- style -->    page.css, in <head>
    <!-- data -->     data and pictures, at the end of <body>
    <!-- script -->   the modules, after them

The policy allows exactly this style and this script, by their sha256, and pictures that the page makes itself. So
neither a text of a seller nor a mistake in a module can load, send or run anything.
"""

import base64
import graphlib
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imageset.errors import DataError

IMPORT = re.compile(r'^import \{([^{}]*)\} from "\./([\w.-]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async function|function\*?|const|let|class) [\w$])", re.MULTILINE)
DECLARED = re.compile(r"^(export )?(?:async )?(?:function\*?|const|let|var|class) ([\w$]+)", re.MULTILINE)
NAME = re.compile(r"[A-Za-z_$][\w$]*")
NOT_BUNDLED = re.compile(r"^(?:import|export)\b.*|\bimport(?:\(|\.meta\b).*|^(?:const|let|var) [\[{].*", re.MULTILINE)
# What would end a script or style, or make a browser read on behind its end.
ENDS_SCRIPT = re.compile(r"</?script|<!--", re.IGNORECASE)
ENDS_STYLE = re.compile(r"</style|<!--", re.IGNORECASE)
MARKERS = ("policy", "style", "data", "script")


def bundle(modules: Mapping[str, str]) -> str:
    """Join ES modules into one script: each after the modules that it imports, without `import` and `export`.

    All modules share one scope then. So a module declares names that no other has, one in a declaration at the start of
    a line, and imports them under these names.

    Args:
        modules: the source of each module, by file name.

    Raises:
        DataError: modules import each other in a circle, import what is not there, declare a name twice, or use a form
            that this function does not know: default exports, renaming, `import()`.

    >>> modules = {"b.js": 'import { one } from "./a.js";\\none();\\n', "a.js": "export function one() {}\\n"}
    >>> print(bundle(modules), end="")
    // a.js
    function one() {}
    // b.js
    one();
    """
    declared = declared_names(modules)
    imports = {name: read_imports(name, modules, declared) for name in sorted(modules)}
    try:
        order = list(graphlib.TopologicalSorter(imports).static_order())
    except graphlib.CycleError as error:
        raise DataError(f"modules import each other in a circle: {' <- '.join(error.args[1])}") from None
    return "".join(f"// {name}\n{plain_script(name, modules[name]).strip()}\n" for name in order)


def declared_names(modules: Mapping[str, str]) -> dict[str, tuple[str, bool]]:
    """Return the module that declares each name, and whether it exports it. Raises DataError for a name of two."""
    declared: dict[str, tuple[str, bool]] = {}
    for module, source in sorted(modules.items()):
        for exported, name in DECLARED.findall(source):
            if name in declared:
                raise DataError(f"{module} and {declared[name][0]} both declare {name}: rename one")
            declared[name] = (module, bool(exported))
    return declared


def read_imports(module: str, modules: Mapping[str, str], declared: Mapping[str, tuple[str, bool]]) -> list[str]:
    """Return the modules that a module imports. Raises DataError where one of them does not export what is wanted."""
    imported = []
    for names, other in IMPORT.findall(modules[module]):
        if other not in modules:
            raise DataError(f"{module} imports {other}, which is not there")
        for name in filter(None, (part.strip() for part in names.split(","))):
            if not NAME.fullmatch(name):
                raise DataError(f"{module} imports `{name}` from {other}: import it under its own name")
            if declared.get(name) != (other, True):
                raise DataError(f"{module} imports {name} from {other}, which does not export it")
        imported.append(other)
    return imported


def plain_script(module: str, source: str) -> str:
    """Return a module without `import` and `export`. Raises DataError for what cannot be joined to others."""
    script = EXPORT.sub("", IMPORT.sub("", source))
    if found := NOT_BUNDLED.search(script):
        line = found[0].splitlines()[0]
        raise DataError(
            f"{module}: `{line}` cannot be joined to other modules: write "
            '`import { name } from "./other.js";`, and `export` before a function, class, const or let of one name'
        )
    if found := ENDS_SCRIPT.search(script):
        raise DataError(f"{module} has `{found[0]}`, which a browser would not take for a part of the script")
    return script


def assemble(templates: Path, data: Mapping[str, Any], scripts: Mapping[str, tuple[str, str]]) -> str:
    """Return the page.

    Args:
        templates: the folder with page.html, page.css and the modules, *.js.
        data: goes into the page as JSON, in the element with id `data`.
        scripts: more elements for data, by id: their type (not JavaScript's) and their text, JSON or base64.

    Raises:
        DataError: a template is missing or wrong, or an element has a text that would end it.
    """
    style = read(templates / "page.css")
    if found := ENDS_STYLE.search(style):
        raise DataError(f"{templates / 'page.css'} has `{found[0]}`, which a browser would not take for style")
    script = bundle({path.name: read(path) for path in sorted(templates.glob("*.js"))})
    elements = {"data": ("application/json", encode_json(data)), **scripts}
    parts = {
        "policy": f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy(script, style))}">',
        "style": f"<style>{style}</style>",
        "data": "\n".join(data_element(name, *element) for name, element in elements.items()),
        "script": f'<script type="module">{script}</script>',
    }
    return fill(templates / "page.html", parts)


def read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is no template of the page: {error}") from None


def encode_json(value: Any) -> str:
    """Return JSON that can be inside a <script> element whatever the texts are.

    >>> encode_json(["</script>", 0.5])
    '["\\\\u003c/script>",0.5]'
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def policy(script: str, style: str) -> str:
    """Return a Content-Security-Policy that allows one script, one style, and pictures out of the page itself."""
    return (
        f"default-src 'none'; script-src '{source_hash(script)}'; style-src '{source_hash(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def data_element(name: str, kind: str, text: str) -> str:
    """Return a <script> element that holds data. Raises DataError for a text that would end it."""
    if "<" in text:
        raise DataError(f"the page's element {name} has a `<` in its text: encode it with encode_json")
    return f'<script type="{html.escape(kind)}" id="{html.escape(name)}">{text}</script>'


def fill(page_html: Path, parts: Mapping[str, str]) -> str:
    """Return page.html with its markers replaced. Raises DataError unless each is there once, in order."""
    pieces = re.split(rf"<!-- ({'|'.join(MARKERS)}) -->", read(page_html))
    if pieces[1::2] != list(MARKERS):
        raise DataError(
            f"{page_html} has the markers {', '.join(pieces[1::2]) or 'none'}; expected {', '.join(MARKERS)}, "
            "each once and in this order"
        )
    return "".join(parts[piece] if number % 2 else piece for number, piece in enumerate(pieces))
