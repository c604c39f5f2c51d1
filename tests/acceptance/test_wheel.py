"""What is released is a wheel: it holds all that runs, and runs where the project's folder is not."""

import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.sluice import Up

ROOT = Path(__file__).parents[2]
ROOMS = ("alerts", "ingest", "load", "query", "schemas", "server")
PATHS = ("/", "/dashboard/views/fleet.js", "/dashboard/vendor/uplot/uPlot.esm.js", "/docs", "/openapi.json")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


def run(*command: str | Path) -> None:
    """Run a command; a failure with what it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, as building leaves files behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, source)
    [found] = out.glob("sluice-*.whl")
    return found


def test_it_holds_every_file_of_every_room(wheel: Path) -> None:
    found = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    there = {path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts}
    held = set(zipfile.ZipFile(wheel).namelist())
    assert there - held == set()
    assert {name.partition("/")[0] for name in held} == {*ROOMS, f"{wheel.name.rsplit('-', 3)[0]}.dist-info"}


async def test_it_runs_without_the_project(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv)
    run(*PIP, "--python", venv / "bin" / "python", "install", "--no-index", "--no-deps", wheel)
    [site] = venv.glob("lib/python*/site-packages")
    # The libraries are those of the tests. What is named in the .pth files over there, this project above all, is not.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")

    inside = "import sys, server; sys.exit(not server.__file__.startswith(sys.prefix))"
    run(venv / "bin" / "python", "-I", "-c", inside)

    async with (
        Up(tmp_path / "data", "--port", "0", "--workers", "1", command=[str(venv / "bin" / "sluice")]) as up,
        aiohttp.ClientSession(raise_for_status=True, headers=up.headers) as http,
    ):
        for path in PATHS:
            async with http.get(up.url + path) as response:
                assert response.status == 200
        reading = {
            "device": "pump-7",
            "readings": [{"metric": "temperature", "ts": time.time_ns() // 1_000_000, "value": 21.5}],
        }
        async with http.post(f"{up.url}/v1/readings", json=reading) as response:
            assert await response.json() == {"accepted": 1, "duplicates": 0}
