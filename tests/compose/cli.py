"""`python -m tests.compose [PROFILE …]`: each profile of docker-compose.yml from nothing, tried, and taken down again.

It needs podman, runc or crun, containernetworking-plugins with its dnsname, iptables and mmdebstrap (Debian's packages
of these names; `golang-github-containernetworking-plugin-dnsname`), a package index, and root. What it prints is JSON:
what came up with which images, after how many seconds, and what was seen. The exit code is 1 where something failed.
"""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tests.compose import standins
from tests.compose.podman import ComposeError, compose_program, say, scratch_folder
from tests.compose.profiles import PROFILES
from tests.compose.stack import Stack


def main(
    profiles: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(PROFILES)}; none: all.")] = None,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the last profile running.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Take the stand-ins away at the end.")] = False,
    stale: Annotated[bool, typer.Option("--stale", help="Take our own images as the last run left them.")] = False,
    output: Annotated[Path | None, typer.Option(help="Also into this file.")] = None,
) -> None:
    """Bring profiles of docker-compose.yml up for real."""
    wanted = profiles or list(PROFILES)
    if unknown := set(wanted) - set(PROFILES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(PROFILES)}")
    scratch = scratch_folder()
    program = compose_program(scratch)
    results = []
    for name in wanted:
        say(f"the profile {name}")
        results.append(attempt(Stack(program, scratch, name, stale=stale), scratch, keep=keep and name == wanted[-1]))
        sys.stdout.write(json.dumps(results[-1], ensure_ascii=False) + "\n")
        sys.stdout.flush()
    if output is not None:
        output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    if clean:
        standins.remove()
    raise typer.Exit(0 if all(result["ok"] for result in results) else 1)


def attempt(stack: Stack, scratch: Path, *, keep: bool) -> dict[str, Any]:
    """One profile."""
    result: dict[str, Any] = {"profile": stack.profile, "ok": False}
    began = time.monotonic()
    try:
        result["images"], result["not_run"] = standins.provide(stack.images(), scratch)
        if stack.left_over():
            stack.down()
        result["seen"] = PROFILES[stack.profile](stack)
        result["ok"] = True
    except (ComposeError, OSError, ValueError, KeyError) as error:
        result["error"] = f"{type(error).__name__}: {error}"
    finally:
        result["up_s"] = stack.seconds
        if not keep:
            stack.down()
        result["seconds"] = round(time.monotonic() - began, 1)
    return result


def start() -> None:
    """Run."""
    typer.run(main)
