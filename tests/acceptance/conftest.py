"""What several of the status table's files share."""

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.acceptance.fragile import Fragile
from tests.acceptance.posting import assert_life_goes_on
from tests.conftest import Server, StartServer
from tests.proxy import Proxy, through

JS = Path(__file__).parent / "js"
PYTHON = Path(__file__).parent / "py"
INSTALL_S = 120


@pytest_asyncio.fixture(scope="module")
async def server(start_shared_server: StartServer) -> Server:
    """One worker that knows the key and the series of `batch()`."""
    one = await start_shared_server(workers=1)
    await assert_life_goes_on(one)
    return one


@pytest_asyncio.fixture
async def fragile(start_server: StartServer, database: str) -> AsyncIterator[Fragile]:
    """A server of this test's own, whose PostgreSQL can be taken away."""
    async with Proxy.to(database) as proxy:
        server = await start_server(workers=1, database_url=through(database, proxy))
        yield Fragile(server, proxy, database)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of the lock file, and what uses them."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("NODE IS ABSENT: what needs packages of npm was NOT tried")
    folder = tmp_path_factory.mktemp("js")
    for name in ("package.json", "package-lock.json", "subscriber.js", "influx.js"):
        shutil.copy(JS / name, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def python_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with packages that may not stand beside ours: ThingsBoard's SDK would bring a `paho` of its own."""
    folder = tmp_path_factory.mktemp("py")
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command += [
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "-r",
        str(PYTHON / "requirements.txt"),
        "--target",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def axe(node_folder: Path) -> str:
    """The source of axe-core, which judges what those meet who do not see a page, or use no mouse."""
    return (node_folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
