"""One project of docker-compose.yml: a copy of the tree, an `.env` made of the example, services up in their order."""

import json
import re
import resource
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.compose.podman import BUILD_S, ComposeError, build_options, exec_words, inspect, podman, run, say, succeeds

ROOT = Path(__file__).parents[2]
PROJECT = "sluicetry"
READY_S = 300.0
LOOK_S = 0.5
LOG_LINES = 40
PROCESSES = 1_024


class Stack:
    """What `docker compose` is for others. It waits for the conditions of `depends_on` by itself, as podman knows these
    from 4.6 on only, and runs the health checks, which else is the work of systemd's timers."""

    def __init__(self, program: Path, scratch: Path, profile: str, *, stale: bool = False) -> None:
        """`stale`: our own images are taken as they are, where they are."""
        self.profile, self.stale = profile, stale
        self.folder = scratch / PROJECT
        self._options = build_options(scratch)
        self._copy_tree()
        self.port = free_port()
        self.values = {
            "SLUICE_DB_PASSWORD": secrets.token_hex(16),
            "SLUICE_REDIS_PASSWORD": secrets.token_hex(16),
            "SLUICE_PUBLISH": f"127.0.0.1:{self.port}",
        }
        self.services: Mapping[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self._once = {
            name
            for service in self.services.values()
            for name, needed in service.get("depends_on", {}).items()
            if needed["condition"] == "service_completed_successfully"
        } | {"grafana-reader"}
        files = ["--file=docker-compose.yml", "--file=limits.yml"]
        self._words: list[str | Path] = [program, "--project-name", PROJECT, *files, "--profile", profile]
        self._confine()
        self.configure()
        self.seconds: dict[str, float] = {}
        """Service → from the start of its container to the fulfilment of its condition."""

    @property
    def url(self) -> str:
        """Where the host reaches it."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, **values: str) -> None:
        """Write `.env` as its example says: by putting values in."""
        self.values |= values
        text = (self.folder / ".env.example").read_text()
        for name, value in self.values.items():
            text, found = re.subn(rf"(?m)^#?{name}=.*$", f"{name}={value}", text)
            if found != 1:
                raise ComposeError(f"{name} is in .env.example {found} times")
        (self.folder / ".env").touch(mode=0o600)
        (self.folder / ".env").write_text(text)

    def compose(self, *words: str, patience_s: float = READY_S) -> str:
        """podman-compose in this project."""
        return run(*self._words, *words, folder=self.folder, patience_s=patience_s)

    def up(self, *services: str, scale: int = 1) -> None:
        """Bring services up, and before them what they depend on; each is healthy, or has ended well, on return."""
        names = self.order(services)
        missing = [name for name in names if not self.containers(name)]
        for name in missing:
            self._build(name)
        if missing:
            say(f"making {', '.join(missing)}")
            scales = [f"--scale={name}={scale}" for name in services if scale > 1]
            self.compose("up", "--no-start", "--no-build", "--no-recreate", "--no-deps", *scales, *missing)
        for name in missing:
            say(f"starting {name}")
            began = time.monotonic()
            podman("start", *self.containers(name))
            self.settle(name)
            self.seconds[name] = round(time.monotonic() - began, 1)

    def _build(self, name: str) -> None:
        """Our own image, where a service has one."""
        image = f"localhost/{PROJECT}_{name}"
        if "build" in self.services[name] and not (self.stale and succeeds("image", "exists", image)):
            say(f"building {name}")
            arguments = f"--podman-build-args={' '.join(self._options)}"
            self.compose(arguments, "build", name, patience_s=BUILD_S)

    def order(self, services: tuple[str, ...]) -> list[str]:
        """Services with all that they depend on, each behind its own."""
        found: dict[str, None] = {}

        def visit(name: str) -> None:
            for below in self.services[name].get("depends_on", ()):
                visit(below)
            found.setdefault(name)

        for name in services:
            visit(name)
        return list(found)

    def settle(self, name: str) -> None:
        """Wait until a service does what others wait for. Raises ComposeError with its log."""
        deadline = time.monotonic() + READY_S
        while not self._stands(name):
            if time.monotonic() > deadline:
                raise ComposeError(f"{name} is not up after {READY_S:.0f} s:\n{self.log(name)}")
            time.sleep(LOOK_S)

    def _stands(self, name: str) -> bool:
        once, may_end = name in self._once, self.services[name].get("restart") == "no"
        found = self.containers(name)
        for container in found:
            state = inspect(container)
            if state["Status"] == "exited" and (state["ExitCode"] != 0 or not may_end):
                raise ComposeError(f"{name} ended with {state['ExitCode']}:\n{self.log(name)}")
            if state["Status"] != "exited" and (once or not succeeds("healthcheck", "run", container)):
                return False
        return bool(found)

    def ended(self, name: str, patience_s: float) -> int:
        """Wait for the end of what ends by itself; returns its exit code."""
        [container] = self.containers(name)
        return int(podman("wait", container, patience_s=patience_s).strip())

    def containers(self, name: str) -> list[str]:
        """Of one service, running or not."""
        labels = {"io.podman.compose.project": PROJECT, "com.docker.compose.service": name}
        filters = [f"--filter=label={label}={value}" for label, value in labels.items()]
        return podman("ps", "--all", "--quiet", "--no-trunc", *filters).split()

    def left_over(self) -> bool:
        """Whether an interrupted run left something."""
        volumes = podman("volume", "ls", "--quiet", f"--filter=name={PROJECT}_").split()
        label = f"--filter=label=io.podman.compose.project={PROJECT}"
        return bool(volumes or podman("ps", "--all", "--quiet", label).split())

    def container(self, name: str) -> str:
        """The only one of a service."""
        [found] = self.containers(name)
        return found

    def inside(self, name: str, *words: str) -> str:
        """Run a command in a service's container; returns what it printed."""
        return run(*exec_words(self.container(name), *words))

    def log(self, name: str) -> str:
        """The last lines of a service."""
        return "\n".join(
            subprocess.run(
                ["podman", "logs", "--tail", str(LOG_LINES), container],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            ).stdout
            for container in self.containers(name)
        )

    def images(self) -> Iterator[str]:
        """Of this profile and of what is always there, the bases of our own ones among them."""
        for service in self.services.values():
            if "image" in service and (self.profile in service.get("profiles", ()) or "profiles" not in service):
                yield service["image"]
        yield from set(re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))

    def down(self, *, volumes: bool = True) -> None:
        """Take everything away; with its volumes what it has stored, too."""
        say("taking it down")
        label = f"--filter=label=io.podman.compose.project={PROJECT}"
        found = podman("ps", "--all", "--quiet", label).split()
        described = json.loads(podman("inspect", "--type=container", *found)) if found else []
        self.compose("down", "--timeout=15", *(["--volumes"] if volumes else []))
        if volumes:  # those that have no name, too
            for mount in (mount for each in described for mount in each["Mounts"] if mount["Type"] == "volume"):
                succeeds("volume", "rm", mount["Name"])

    def _copy_tree(self) -> None:
        """What git knows, as a fresh clone has it: neither the `.env` of this one nor its data."""
        shutil.rmtree(self.folder, ignore_errors=True)
        listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=ROOT)
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)

    def _confine(self) -> None:
        """podman asks for more processes wherever a limit of files is set; who may not have more gets what he has."""
        _, processes = resource.getrlimit(resource.RLIMIT_NPROC)
        limited = [] if processes == resource.RLIM_INFINITY else [n for n, s in self.services.items() if "ulimits" in s]
        document = {"services": {name: {"ulimits": {"nproc": min(processes, PROCESSES)}} for name in limited}}
        (self.folder / "limits.yml").write_text(yaml.safe_dump(document))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
