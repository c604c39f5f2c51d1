"""podman and podman-compose, as programs: each with a limit of time, and what it said where it fails."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PATIENCE_S = 120.0
BUILD_S = 1_800.0
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "cert")
TAIL = 25
"""Lines of what a program said, for an error's message."""


BEGAN = time.monotonic()


class ComposeError(Exception):
    """Something did not come up, or did not do what it is there for; the message says what to look at."""


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(f"compose: {time.monotonic() - BEGAN:6.1f} s  {text}\n")


def run(*words: str | Path, patience_s: float = PATIENCE_S, folder: Path | None = None, given: str = "") -> str:
    """Run a program that has to be content; returns what it printed. Raises ComposeError."""
    try:
        done = subprocess.run(
            words, input=given, cwd=folder, capture_output=True, text=True, timeout=patience_s, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ComposeError(str(error)) from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-TAIL:])
        raise ComposeError(f"{' '.join(map(str, words[:8]))} … ended with {done.returncode}:\n{said}")
    return done.stdout


def podman(*words: str | Path, patience_s: float = PATIENCE_S) -> str:
    """As root, or rootless where the machine is made for it."""
    return run("podman", *words, patience_s=patience_s)


def succeeds(*words: str) -> bool:
    """Whether podman ends with 0."""
    try:
        podman(*words)
    except ComposeError:
        return False
    return True


def inspect(container: str) -> Mapping[str, Any]:
    """The state of a container, as podman tells it."""
    [found] = json.loads(podman("inspect", "--type=container", container))
    state: Mapping[str, Any] = found["State"]
    return state


def compose_program(scratch: Path) -> Path:
    """podman-compose: the one on the path, else of the package index, in an environment of its own."""
    if found := shutil.which("podman-compose"):
        return Path(found)
    program = scratch / "podman-compose" / "bin" / "podman-compose"
    if not program.exists():
        environment = program.parents[1]
        run(sys.executable, "-m", "venv", environment)
        run(environment / "bin" / "python", "-m", "pip", "install", "--quiet", "podman-compose", patience_s=BUILD_S)
    return program


def pip_settings() -> tuple[str, list[Path]]:
    """Pip's settings here, as a file for builds, and what of this machine's they name: the file of an authority."""
    found: dict[str, str] = {}
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = value.strip("'\"")
    kept = {
        name: found[name] for name in ("index-url", "extra-index-url", "trusted-host", "proxy", "cert") if name in found
    }
    text = "\n".join(["[global]", *(f"{name} = {value}" for name, value in kept.items())]) + "\n"
    return text, [Path(kept["cert"])] if "cert" in kept else []


def build_options(scratch: Path) -> list[str]:
    """For every build: this machine's network, and pip's settings as the secret that our Dockerfile knows."""
    text, files = pip_settings()
    secret = scratch / "pip.conf"
    secret.touch(mode=0o600)
    secret.write_text(text)
    mounts = [f"--volume={path}:{path}:ro" for path in files]
    return ["--network=host", "--format=docker", f"--secret=id=pip_conf,src={secret}", *mounts]


def scratch_folder() -> Path:
    """Where the base system is made, and podman-compose put: it may stay between two runs."""
    folder = Path(tempfile.gettempdir()) / "sluice-compose"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def exec_words(container: str, *words: str, keep: Sequence[str] = ()) -> list[str]:
    """The command line that runs a command inside; `keep` names variables of ours that it gets."""
    return ["podman", "exec", "--interactive", *(f"--env={name}" for name in keep), container, *words]
