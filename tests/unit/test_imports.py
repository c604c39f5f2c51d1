"""The law of imports: which room may know which, and which files may do no I/O."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "ingest", "alerts", "query", "server", "load")
MAY_IMPORT = {
    "schemas": set(),
    "ingest": {"schemas"},
    "alerts": {"schemas"},
    "query": {"schemas"},
    "load": {"schemas"},
    "server": {"schemas", "ingest", "alerts", "query"},
}
DRIVERS = {"asyncio", "asyncpg", "redis", "fastapi", "starlette", "aiohttp", "socket"}
PURE = [
    "schemas/*.py",
    "ingest/formats/*.py",
    "alerts/machine.py",
    "alerts/live/commands.py",
    "alerts/live/protocol.py",
    "alerts/live/sequence.py",
    "server/capacity/*.py",
]


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module or ""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_it_may(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in imports(path)
        if (top := module.partition(".")[0]) in ROOMS and top != room and top not in MAY_IMPORT[room]
    ]
    assert not broken


@pytest.mark.parametrize("pattern", PURE)
def test_pure_files_do_no_input_or_output(pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    broken = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in files
        for module in imports(path)
        if module.partition(".")[0] in DRIVERS
    ]
    assert not broken


def test_files_stay_small() -> None:
    folders = (*ROOMS, "tests")
    sizes = {path: len(path.read_text().splitlines()) for name in folders for path in (ROOT / name).rglob("*.py")}
    assert not {str(path): lines for path, lines in sizes.items() if lines > 260}
