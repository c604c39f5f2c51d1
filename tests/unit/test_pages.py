"""The dashboard's files: what they may not contain, whatever they show."""

import re
from importlib import resources

import pytest
from starlette.routing import Route

from server.pages import CONTENT_TYPES, routes

FILES = {entry.name: entry.read_text("utf-8") for entry in resources.files("server").joinpath("dashboard").iterdir()}
FORBIDDEN = {
    "text that becomes HTML": r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function",
    "an inline script or style": r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:",
    "another host": r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[\w-]+\.[\w.-]+",
    "a place where a key would outlive the tab": r"localStorage|sessionStorage|indexedDB|document\.cookie",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    assert [name for name, text in FILES.items() if re.search(FORBIDDEN[what], text)] == []


def test_every_file_is_short_and_of_a_kind_that_is_served() -> None:
    assert [name for name, text in FILES.items() if text.count("\n") > 250] == []
    assert [name for name in FILES if not name.endswith(tuple(CONTENT_TYPES))] == []


def test_page_loads_every_module_ahead() -> None:
    ahead = set(re.findall(r'modulepreload" href="/dashboard/([\w.]+)"', FILES["index.html"]))
    assert ahead == {name for name in FILES if name.endswith(".js")}


def test_routes() -> None:
    assert [route.path for route in routes() if isinstance(route, Route)] == ["/", "/dashboard/{file}"]
