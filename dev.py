#!/usr/bin/env python3
"""Make `.venv` from the locked requirements, then run a command in it: all that a bare machine needs.

usage: python3 dev.py COMMAND [...]

  up [--demo] [--port N] …   start Sluice with its own PostgreSQL and Valkey
  test [--all] [pytest …]    every check, then every test; --all adds those that take minutes; -n 0: in one process
  faults [--minutes M] …     break a whole cluster in every way there is, and ask the database what is left
  load NAME [--minutes M] …  load a server by a scenario, judge it, report
  check                      lint, formatting, types
  bench [--quick] …          what a reading costs, and where
  lock                       make requirements*.txt anew from pyproject.toml
  anything else              goes to `sluice`: key, rules, storage, audit, mqtt, plan, simulate, migrate, doctor …

Commands run in the project's folder. Pip's own settings (PIP_INDEX_URL, PIP_CERT, …) are respected.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts this with an older one deserves a sentence, not a traceback
    sys.exit("dev.py: Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Try: python3.11 dev.py …")

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BASE = getattr(sys, "_base_executable", sys.executable)  # not the one in .venv, even if that was started
STAMP = VENV / "sluice-stamp"  # written last, removed first: a folder without it is half made
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {"run": ROOT / "requirements.txt", "test": ROOT / "requirements-test.txt"}  # the second contains the first
NEEDS_TEST = {"test", "faults", "check", "bench", "load", "lock"}  # every other command does with less
MODULES = {"bench": ("load.bench",), "faults": ("tests.faults",)}
PARALLEL = ("-n", "3", "--dist", "worksteal")  # a third of the tests each, in order; who is done first, helps
CHECKS = {"lint": ("ruff", "check", "."), "formatting": ("ruff", "format", "--check", "."), "types": ("mypy",)}
# --no-compile: byte code is made when a module is first imported; to compile all of it costs seconds, most never runs.
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--no-compile", "--progress-bar", "off")
# Words in a failed command's output, and what whoever reads it should do. The first that is found wins.
ADVICE = {
    "DO NOT MATCH THE HASHES": "The index serves other files than the lock names. Do not go on unless you know why.",
    "CERTIFICATE_VERIFY": "The index's certificate is not trusted: set PIP_CERT to the file of its authority.",
    "onnection": "No package index was reached: look at the network, or set PIP_INDEX_URL or PIP_PROXY.",
    "No matching distribution": "No index was reached, or it lacks that file: look at the network and PIP_INDEX_URL.",
    "Permission denied": f"Uid {os.getuid()} must be able to write in {ROOT}: copy the project elsewhere.",
    "Read-only file system": f"{ROOT} is read-only: copy the project elsewhere.",
}


class SetupError(Exception):
    """Nothing goes on before the reader of this message has done something."""


class Stamp(NamedTuple):
    """What `.venv` was made from."""

    place: str  # another Python or folder: begin anew
    requirements: str  # other packages: install over the old ones
    level: str  # "run" or "test"


def main(arguments: Sequence[str]) -> int:
    """Run one command; most replace this process, so that signals reach them directly."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print((__doc__ or "").strip())
        return 0
    os.chdir(ROOT)
    command, *rest = arguments
    prepare("test" if command in NEEDS_TEST else "run")
    if command == "check":
        return check()
    if command == "lock":
        return lock()
    if command in NEEDS_TEST:
        keep_byte_code()
    if command == "test":
        return check() or replace(PYTHON, "-m", "pytest", *pytest_arguments(rest))
    if command in MODULES:
        replace(PYTHON, "-m", *MODULES[command], *rest)
    replace(VENV / "bin" / "sluice", *arguments)


def keep_byte_code() -> None:
    """Where the environment asks for no byte code, keep ours in `.venv`: the folder it is meant to spare stays clean.

    The tests start hundreds of workers, and to compile what each imports is half of what its start costs.
    """
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ["PYTHONPYCACHEPREFIX"] = str(VENV / "bytecode")


def pytest_arguments(rest: Sequence[str]) -> list[str]:
    """Leave out what takes minutes unless `--all` is there; ours comes first, so that a caller's own `-m` or `-n` wins.

    Three processes (`-n 0`: none but this one) share the tests, since most of them wait for a start, a timeout, a disk.
    """
    selection = [] if "--all" in rest else ["-m", "not long"]
    return [*PARALLEL, *selection, *(word for word in rest if word != "--all")]


def check() -> int:
    """Run every check, even after one failed; the code is that of the first failure."""
    first = 0
    for name, words in CHECKS.items():
        say(f"checking {name}")
        code = subprocess.run([PYTHON, "-m", *words], check=False).returncode
        first = first or code
    return first


def lock() -> int:
    """Resolve pyproject.toml for every platform at once, the smaller file within the versions of the larger one."""
    with only_one():
        run("installing uv, which resolves", PYTHON, *PIP, "uv")
        resolve("test", "--upgrade")
        resolve("run", "--constraints", LOCKS["test"].name)
    return 0


def resolve(level: str, *more: str) -> None:
    """Write one lock file, the build backend in it, since the project is installed without build isolation."""
    words = ["pyproject.toml", "-", "--extra", {"run": "local", "test": "test"}[level], "--generate-hashes", *more]
    words += ["--output-file", LOCKS[level].name, "--universal", "--python-version", "3.11", "--quiet"]
    # Nothing may get into the file that names a host or a path of this machine.
    words += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    backend = "\n".join(PROJECT["build-system"]["requires"])
    run(f"resolving {LOCKS[level].name}", PYTHON, "-m", "uv", "pip", "compile", *words, given=backend)


def prepare(level: str) -> None:
    """See to it that `.venv` holds this level's requirements; nothing but a look at a few files where it does."""
    wanted = Stamp(place(), requirements(), level)
    enough = (wanted, wanted._replace(level="test"))
    if read_stamp() in enough:
        return
    with only_one():
        held = read_stamp()  # again: another dev.py may have done the work while this one waited
        if held in enough:
            return
        began = time.monotonic()
        STAMP.unlink(missing_ok=True)
        if held is None or held.place != wanted.place:
            make_venv()
        elif held.level == "test":
            wanted = wanted._replace(level="test")  # what was installed stays installed
        install(wanted.level)
        STAMP.write_text("\n".join(wanted))
        say(f"ready after {time.monotonic() - began:.1f} s")


def read_stamp() -> Stamp | None:
    """Return what `.venv` was made from, None where it is missing or half made."""
    try:
        return Stamp(*STAMP.read_text().split("\n"))
    except (OSError, TypeError):
        return None


def place() -> str:
    """Name what a virtual environment cannot survive a change of: the Python below it and the folder it is in."""
    return digest(sys.version, sys.base_prefix, str(ROOT))


def requirements() -> str:
    """Name what is to be installed. Only some tables of pyproject.toml: a lint rule's change must cost nothing."""
    tables = [PROJECT["build-system"], PROJECT["project"], PROJECT["tool"].get("setuptools")]
    return digest(json.dumps(tables), *(path.read_text() for path in LOCKS.values()))


def digest(*texts: str) -> str:
    """Return one short name for several texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold the folder's lock. Children inherit it, so that it lasts while pip works, even if this process is killed."""
    folder = os.open(ROOT, os.O_RDONLY)
    os.set_inheritable(folder, True)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another dev.py is making .venv; waiting for it")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make_venv() -> None:
    """Make an empty `.venv`, in place of whatever was there."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        debian = f"On Debian and Ubuntu: apt install {version}-venv (or python3-venv)."
        raise SetupError(f"This Python has no {' and no '.join(missing)}. {debian} Elsewhere: what completes Python.")
    if VENV.exists():
        shutil.rmtree(VENV)
    run(f"making .venv with Python {sys.version.split()[0]}", BASE, "-m", "venv", VENV)


def install(level: str) -> None:
    """Install the locked packages, then the project itself in place."""
    name = LOCKS[level].name
    count = sum("==" in line for line in LOCKS[level].read_text().splitlines())
    run(f"installing {count} packages of {name}", PYTHON, *PIP, "--require-hashes", "--no-deps", "-r", name)
    # "compat" puts the folder itself on the path: a package added tomorrow is found, and mypy finds the same files.
    how = ("--no-deps", "--no-build-isolation", "--config-settings", "editable_mode=compat", "--editable", ".")
    run("installing the project", PYTHON, *PIP, *how)


def run(title: str, *words: str | Path, given: str = "") -> None:
    """Run a command silently, saying what is done and how long it took; its output is shown only if it fails."""
    print(f"dev.py: {title} … ", end="", flush=True, file=sys.stderr)
    began = time.monotonic()
    done = subprocess.run(words, input=given, capture_output=True, text=True, check=False, close_fds=False)
    print(f"{time.monotonic() - began:.1f} s" if done.returncode == 0 else "failed", file=sys.stderr)
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise SetupError("\n".join(output.splitlines()[-15:]) + "\n\n" + advise(output))


def advise(output: str) -> str:
    """Say what to do about a failed command, judging by what it wrote."""
    otherwise = "Once that is mended, run the same command again: it begins where it must."
    return next((advice for words, advice in ADVICE.items() if words in output), otherwise)


def replace(program: Path, *words: str) -> NoReturn:
    """Become another program: the same process id, so that signals, and the death of our parent, reach it."""
    os.execv(program, [str(program), *words])


def say(text: str) -> None:
    """Write a line of progress, to stderr, so that a command's own output can be piped."""
    print(f"dev.py: {text}", file=sys.stderr, flush=True)


def start() -> int:
    """Run `main`, its errors as sentences."""
    try:
        return main(sys.argv[1:])
    except SetupError as error:
        say(str(error))
    except OSError as error:
        say(f"{error}. {advise(str(error))}")
    except KeyboardInterrupt:
        say("interrupted; the next start clears up and begins anew")
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(start())
