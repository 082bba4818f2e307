"""The build step of the page: what it joins, what it refuses, and that nothing of the data becomes markup."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from imageset.errors import DataError
from imageset.page.assemble import assemble, bundle, encode_json

PAGE = "<!doctype html>\n<head><!-- policy --><!-- style --></head>\n<h1>Photos</h1>\n<!-- data -->\n<!-- script -->\n"


def write_templates(folder: Path, page: str = PAGE, style: str = "h1 { color: red; }\n", **modules: str) -> Path:
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "page.css").write_text(style, encoding="utf-8")
    for name, source in modules.items():
        (folder / f"{name}.js").write_text(source, encoding="utf-8")
    return folder


def test_a_module_comes_after_those_that_it_imports() -> None:
    script = bundle(
        {
            "a.js": 'import { c } from "./c.js";\nimport {\n    b,\n} from "./b.js";\n\nb(c);\n',
            "b.js": 'import { c } from "./c.js";\nexport function b() {}\nexport async function later() {}\n',
            "c.js": "export const c = 1;\nexport class Other {}\nexport let d = c;\n",
        }
    )

    assert script == (
        "// c.js\nconst c = 1;\nclass Other {}\nlet d = c;\n"
        "// b.js\nfunction b() {}\nasync function later() {}\n"
        "// a.js\nb(c);\n"
    )


def test_modules_that_do_not_depend_on_each_other_come_by_name_whatever_the_order_of_the_files() -> None:
    modules = {"b.js": "two();\n", "a.js": "one();\n", "c.js": "three();\n"}

    assert (
        bundle(modules)
        == bundle(dict(reversed(modules.items())))
        == "// a.js\none();\n// b.js\ntwo();\n// c.js\nthree();\n"
    )


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (
            {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\nexport let b;\n'},
            "b.js imports a from a.js, which does not export it",
        ),
        (
            {
                "a.js": 'import { b } from "./b.js";\nexport let a;\n',
                "b.js": 'import { a } from "./a.js";\nexport let b;\n',
            },
            "modules import each other in a circle: a.js <- b.js <- a.js",
        ),
        ({"a.js": 'import { b } from "./b.js";\n'}, "a.js imports b.js, which is not there"),
        (
            {"a.js": 'import { b } from "./b.js";\n', "b.js": "function b() {}\n"},
            "a.js imports b from b.js, which does not export it",
        ),
        (
            {"a.js": 'import { b as c } from "./b.js";\n', "b.js": "export let b;\n"},
            "a.js imports `b as c` from b.js: import it under its own name",
        ),
        (
            {"a.js": "const same = 1;\n", "b.js": "export async function same() {}\n"},
            "b.js and a.js both declare same: rename one",
        ),
        ({"a.js": "let same = 1;\nfunction same() {}\n"}, "a.js and a.js both declare same: rename one"),
    ],
)
def test_modules_that_do_not_fit_together_are_refused(modules: dict[str, str], message: str) -> None:
    with pytest.raises(DataError) as caught:
        bundle(modules)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    "line",
    [
        "export default function b() {}",
        "export { b };",
        'export { b } from "./b.js";',
        "export const { b, c } = page;",
        "const [b, c] = page;",
        'import b from "./b.js";',
        'import * as b from "./b.js";',
        'import "./b.js";',
        'import { b } from "library";',
        'const b = await import("./b.js");',
        "const b = import.meta.url;",
    ],
)
def test_forms_that_cannot_be_joined_are_refused(line: str) -> None:
    with pytest.raises(DataError, match=r"a\.js: `.*` cannot be joined to other modules: write `import"):
        bundle({"a.js": f"let other;\n{line}\n", "b.js": "export let elsewhere;\n"})


@pytest.mark.parametrize("text", ["</script>", "<!-- a", "<SCRIPT"])
def test_a_module_cannot_end_its_element(text: str) -> None:
    with pytest.raises(DataError, match=r"a\.js has `"):
        bundle({"a.js": f'const text = "{text}";\n'})


def test_the_page_has_style_data_and_script_in_this_order(tmp_path: Path) -> None:
    templates = write_templates(tmp_path, a="one();\n")

    page = assemble(templates, {"n": 1}, {"tiles-0": ("text/plain", "AAAA")})

    assert re.sub("content=.*?>", "content>", page) == (
        '<!doctype html>\n<head><meta http-equiv="Content-Security-Policy" content><style>h1 { color: red; }\n</style>'
        "</head>\n<h1>Photos</h1>\n"
        '<script type="application/json" id="data">{"n":1}</script>\n'
        '<script type="text/plain" id="tiles-0">AAAA</script>\n'
        '<script type="module">// a.js\none();\n</script>\n'
    )


def test_the_policy_allows_exactly_the_style_and_the_script_of_the_page(tmp_path: Path) -> None:
    page = assemble(write_templates(tmp_path, a='text("ä");\n'), {}, {})
    policy = re.findall('<meta http-equiv="Content-Security-Policy" content="(.*?)">', page)[0]
    inlined = [
        re.findall(f"<{element}>(.*?)</{element.split()[0]}>", page, re.DOTALL)[0]
        for element in ('script type="module"', "style")
    ]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inlined]

    assert policy.replace("&#x27;", "'") == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def test_names_of_any_kind_are_text(tmp_path: Path) -> None:
    names = ["</script><script>alert(1)</script>", "<!--", "\u2028\u2029", "ชุด 👗", '"\\']

    page = assemble(write_templates(tmp_path), {"name": names}, {})
    text = re.findall('id="data">(.*?)</script>', page, re.DOTALL)[0]

    assert json.loads(text) == {"name": names}
    assert not set(text) & {"<", "\u2028", "\u2029"}
    assert "ชุด 👗" in text


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json({"score": float("nan")})


def test_an_element_cannot_end_early(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the page's element tiles-0 has a `<`"):
        assemble(write_templates(tmp_path), {}, {"tiles-0": ("text/plain", "</script>")})


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (PAGE.replace("<!-- style -->", ""), "policy, data, script"),
        (PAGE + "<!-- data -->", "policy, style, data, script, data"),
        ("<!-- script -->" + PAGE.replace("<!-- script -->", ""), "script, policy, style, data"),
        ("", "none"),
    ],
)
def test_a_template_without_its_markers_is_refused(tmp_path: Path, page: str, found: str) -> None:
    with pytest.raises(DataError, match=f"page.html has the markers {found}; expected policy, style, data, script"):
        assemble(write_templates(tmp_path, page), {}, {})


def test_markers_in_texts_are_not_filled(tmp_path: Path) -> None:
    page = assemble(write_templates(tmp_path, style="/* <- data -> */"), {"name": "<!-- script -->"}, {})

    assert "\\u003c!-- script -->" in page


def test_a_missing_template_and_a_style_that_would_end_early_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"page\.css is no template of the page"):
        assemble(tmp_path, {}, {})

    with pytest.raises(DataError, match=r"page\.css has `</style`"):
        assemble(write_templates(tmp_path, style="</style><img>"), {}, {})
