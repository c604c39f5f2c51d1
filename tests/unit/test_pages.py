"""The dashboard's files: what they may not contain, whatever they show."""

import re
from pathlib import Path, PurePosixPath

import pytest
from starlette.routing import Route

from server.pages import CONTENT_TYPES, IMPORT, read_pages, routes

FOLDER = Path(__file__).parents[2] / "server" / "dashboard"
FILES = {str(path.relative_to(FOLDER)): path.read_text("utf-8") for path in FOLDER.rglob("*") if path.is_file()}
OWN = {name: text for name, text in FILES.items() if not name.startswith("vendor/")}
MAX_OWN_BYTES = 153_600
"""150 KiB."""
MAX_LINES = 250
FORBIDDEN = {
    "text that becomes HTML": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function",
    "an inline script or style": r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:",
    "another host": r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.[\w.-]+",
    "a place where a key would outlive the tab": r"sessionStorage|indexedDB|document\.cookie|caches\b",
}
STORING = {"early.js", "theme.js", "session.js"}  # the theme, and whether to ask for a session: see there


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    assert [name for name, text in OWN.items() if re.search(FORBIDDEN[what], text)] == []


def test_nothing_but_the_theme_and_a_hint_is_stored() -> None:
    assert {name for name, text in OWN.items() if "localStorage" in text} == STORING
    stored = {key for name in STORING for key in re.findall(r'"(sluice\.\w+)"', OWN[name])}
    assert stored == {"sluice.theme", "sluice.session"}


def test_every_file_is_short_and_all_of_them_are_light() -> None:
    assert [name for name, text in OWN.items() if text.count("\n") > MAX_LINES] == []
    assert sum(len(text.encode()) for text in OWN.values()) <= MAX_OWN_BYTES
    assert [name for name in OWN if not name.endswith(tuple(CONTENT_TYPES))] == []


def test_what_is_served_is_what_is_there_but_for_papers() -> None:
    papers = {name for name in FILES if PurePosixPath(name).name in {"LICENSE", "README.md", "SHA256SUMS"}}
    assert set(read_pages()) == FILES.keys() - papers
    vendored = {PurePosixPath(name).parent for name in FILES.keys() - OWN.keys()}
    assert all({f"{folder}/LICENSE", f"{folder}/README.md"} <= papers for folder in vendored)


def test_page_loads_every_module_of_its_frame_ahead() -> None:
    """Views are loaded when they are wanted; whatever comes with the frame must not be found out step by step."""
    ahead = re.findall(r'modulepreload" href="/dashboard/([\w./]+)"', read_pages()["index.html"].body.decode())
    assert {"main.js", "router.js", "views/index.js", "vendor/centrifuge/centrifuge.js"} <= set(ahead)
    assert not {"views/fleet.js", "charts/chart.js", "vendor/uplot/uPlot.esm.js"} & set(ahead)
    assert {name for name in ahead if name not in FILES} == set()


def test_every_import_and_every_style_is_there() -> None:
    for name, text in OWN.items():
        if name.endswith(".js"):
            assert [path for path in IMPORT.findall(text) if str(resolved(name, path)) not in FILES] == [], name
    views = re.findall(r'name: "(\w+)"', OWN["views/index.js"])
    assert {f"views/{name}.js" for name in views} <= FILES.keys()
    styles = re.findall(r'stylesheet" href="/dashboard/([\w./]+)"', read_pages()["index.html"].body.decode())
    assert sorted(styles) == sorted(name for name in FILES if name.endswith(".css"))
    assert styles.index("controls.css") < styles.index("vendor/uplot/uPlot.min.css") < styles.index("views/device.css")


def resolved(name: str, path: str) -> PurePosixPath:
    """What `path` means in the file `name`."""
    parts = list(PurePosixPath(name).parent.parts)
    for step in PurePosixPath(path).parts:
        parts = parts[:-1] if step == ".." else [*parts, step]
    return PurePosixPath(*parts)


def test_routes() -> None:
    assert [route.path for route in routes() if isinstance(route, Route)] == ["/", "/dashboard/{file:path}"]
