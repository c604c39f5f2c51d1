"""dev.py: what it installs when, what it passes on, what it says."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

import dev


class Workshop:
    """dev.py on an empty folder, with the slow parts replaced by a list of what was done."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lay out two lock files."""
        self.done: list[str] = []
        self.venv = root / ".venv"
        self.locks = {"run": root / "requirements.txt", "test": root / "requirements-test.txt"}
        for level, path in self.locks.items():
            path.write_text(f"{level}==1\n")
        monkeypatch.setattr(dev, "ROOT", root)
        monkeypatch.setattr(dev, "STAMP", self.venv / "stamp")
        monkeypatch.setattr(dev, "LOCKS", self.locks)
        monkeypatch.setattr(dev, "make_venv", self.make_venv)
        monkeypatch.setattr(dev, "install", self.done.append)

    def make_venv(self) -> None:
        """Make the folder alone."""
        self.done.append("venv")
        self.venv.mkdir(exist_ok=True)

    def prepare(self, level: str) -> list[str]:
        """Return what this start did."""
        self.done.clear()
        dev.prepare(level)
        return list(self.done)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """An empty one."""
    return Workshop(tmp_path, monkeypatch)


def test_the_first_start_makes_everything_and_the_second_nothing(workshop: Workshop) -> None:
    assert workshop.prepare("run") == ["venv", "run"]
    assert workshop.prepare("run") == []


def test_the_tests_requirements_contain_the_others(workshop: Workshop) -> None:
    assert workshop.prepare("run") == ["venv", "run"]
    assert workshop.prepare("test") == ["test"]
    assert workshop.prepare("run") == []


def test_a_changed_lock_installs_over_and_takes_nothing_away(workshop: Workshop) -> None:
    workshop.prepare("test")
    workshop.locks["run"].write_text("run==2\n")
    assert workshop.prepare("run") == ["test"]


def test_another_place_begins_anew(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.prepare("test")
    monkeypatch.setattr(sys, "version", "3.99.0")
    assert workshop.prepare("run") == ["venv", "run"]


def test_an_interrupted_install_begins_anew(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(level: str) -> None:
        raise KeyboardInterrupt(level)

    workshop.prepare("run")
    with monkeypatch.context() as patch:
        patch.setattr(dev, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workshop.prepare("test")
    assert workshop.prepare("run") == ["venv", "run"]


@pytest.mark.parametrize("text", ["", "one\ntwo", "one\ntwo\nthree\nfour"])
def test_a_damaged_stamp_is_none(workshop: Workshop, text: str) -> None:
    workshop.venv.mkdir()
    dev.STAMP.write_text(text)
    assert dev.read_stamp() is None


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([], ["-m", "not long"]),
        (["--all"], []),
        (["-x", "tests/unit"], ["-m", "not long", "-x", "tests/unit"]),
        (["-m", "long"], ["-m", "not long", "-m", "long"]),  # pytest takes the last
        (["--all", "-x"], ["-x"]),
    ],
)
def test_long_tests_wait_to_be_asked_for(given: list[str], passed: list[str]) -> None:
    parallel, rest = dev.pytest_arguments(given)[: len(dev.PARALLEL)], dev.pytest_arguments(given)[len(dev.PARALLEL) :]
    assert (parallel, rest) == (list(dev.PARALLEL), passed), "a caller's own -n comes later, and wins"


class Replaced(Exception):
    """In place of becoming another program."""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["faults"], ["-m", "tests.faults"]),
        (["faults", "--kind", "F4", "--seed", "7"], ["-m", "tests.faults", "--kind", "F4", "--seed", "7"]),
        (["bench", "--quick"], ["-m", "load.bench", "--quick"]),
    ],
)
def test_words_that_are_modules(command: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[object] = []

    def replace(*program: object) -> NoReturn:
        done.extend(program)
        raise Replaced

    monkeypatch.setattr(dev, "prepare", done.append)
    monkeypatch.setattr(dev, "replace", replace)
    monkeypatch.setattr(dev, "keep_byte_code", lambda: None)  # this process's own environment stays as it is
    monkeypatch.chdir(Path(dev.__file__).parent)
    with pytest.raises(Replaced):
        dev.main(command)
    assert done == ["test", dev.PYTHON, *words]


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({}, {}),
        ({"PYTHONDONTWRITEBYTECODE": "1"}, {"PYTHONPYCACHEPREFIX": str(dev.VENV / "bytecode")}),
        ({"PYTHONPYCACHEPREFIX": "/elsewhere"}, {"PYTHONPYCACHEPREFIX": "/elsewhere"}),
    ],
)
def test_byte_code_is_kept_for_the_workers_of_the_tests(
    given: dict[str, str], left: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", given.copy())
    dev.keep_byte_code()
    assert os.environ == left


@pytest.mark.parametrize("word", ["up", "test", "faults", "check", "bench", "lock"])
def test_the_help_names_every_word(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["--help"]) == 0
    assert f"\n  {word} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("Failed to establish a new connection … No matching distribution found for x", "PIP_PROXY"),
        ("No matching distribution found for x", "lacks that file"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES", "other files"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] … connection", "PIP_CERT"),
        ("[Errno 13] Permission denied: '.venv'", "elsewhere"),
        ("something new", "run the same command again"),
    ],
)
def test_errors_say_what_to_do(output: str, word: str) -> None:
    assert word in dev.advise(output)


def test_a_python_without_venv_is_told_which_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(dev.SetupError, match=r"no venv and no ensurepip.*python3\.\d+-venv"):
        dev.make_venv()


def test_check_runs_every_check_and_answers_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: Iterator[int] = iter([0, 3, 4])
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], next(codes)))
    assert dev.check() == 3
    assert next(codes, None) is None


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_locks_name_no_host_and_hash_everything(name: str) -> None:
    text = (Path(dev.__file__).parent / name).read_text()
    assert "/" not in text  # no URL, no path
    for block in text.replace("\\\n", "").splitlines():
        assert "==" in block
        assert "--hash=sha256:" in block


def test_the_larger_lock_contains_the_smaller() -> None:
    run, test = (set(path.read_text().replace("\\\n", "").splitlines()) for path in dev.LOCKS.values())
    assert run <= test
