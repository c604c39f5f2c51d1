"""Every document of the project: links lead somewhere, files that are named are there, commands are commands."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer import Typer

from load.bench import cli as bench
from load.scenarios import __main__ as scenarios
from server import cli
from tests.faults.trial.cli import main as break_things

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)")
PLACE = re.compile(r"(?<![\w/])(?:alerts|docs|ingest|load|query|schemas|server|tests|\.ci)/[\w./*-]*[\w*]")
COMMAND = re.compile(r"(?:^|`)(python3 dev\.py|\.venv/bin/python|sluice) ([^`\n]+)", re.MULTILINE)
FAULTS = Typer()
FAULTS.command()(break_things)
APPS = {"bench": bench.app, "faults": FAULTS, "load": scenarios.app}
LOCUST = {"--expect-workers", "--loglevel", "--master", "--processes"}
"""Options of locust's that are passed on to it; ours beside them are in its file."""


@pytest.fixture(params=DOCUMENTS, ids=[path.relative_to(ROOT).as_posix() for path in DOCUMENTS])
def document(request: pytest.FixtureRequest) -> Path:
    """One of them."""
    path: Path = request.param
    return path


def anchors(path: Path) -> set[str]:
    """What a link can name within a document: its headings, as they are written in addresses."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(path: Path) -> str:
    """A document without the shells' lines that are continued, which are one."""
    return path.read_text().replace("\\\n", " ")


def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(prose(document)):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        there = target.exists() and (not anchor or anchor in anchors(target))
        if not there and not link.startswith("https://"):
            broken.append(link)
    assert not broken


def test_files_are_where_it_says(document: Path) -> None:
    named = {place for code in re.findall(r"`([^`\n]+)`", prose(document)) for place in PLACE.findall(code)}
    beside = (document.parent, ROOT)
    missing = {place for place in named if not any(any(folder.glob(place)) for folder in beside)}
    assert not missing


def test_commands_are_there(document: Path) -> None:
    broken = [
        f"{' '.join(words)}: {fault}"
        for program, text in COMMAND.findall(prose(document))
        for words in [
            [program, *shlex.split(text.partition(" | ")[0].replace("[", "").replace("]", ""), comments=True)]
        ]
        for fault in faults_of(words)
    ]
    assert not broken


def faults_of(words: list[str]) -> Iterator[str]:
    """What is wrong with a command."""
    program, *rest = words
    if program == ".venv/bin/python":
        assert rest[0] == "-m"
        if importlib.util.find_spec(rest[1]) is None:
            yield f"no module {rest[1]}"
        yield from (f"no {word}" for word in rest if word.startswith("tests/") and not (ROOT / word).exists())
        return
    if program.startswith("python3") and rest[0] in {"check", "lock", "test"}:
        return
    command: Any = typer.main.get_command(APPS.get(rest[0], cli.app))
    if rest[0] in APPS:
        rest = rest[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        known, name = command.commands, rest.pop(0)
        if name not in known:
            yield f"no command {name}"
            return
        command = known[name]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    if command.name == "main":
        options |= LOCUST | set(re.findall(r'add\("(--[\w-]+)"', (ROOT / "load/scenarios/locustfile.py").read_text()))
    yield from (f"no option {word}" for word in rest if word.startswith("--") and word.partition("=")[0] not in options)
