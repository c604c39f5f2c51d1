"""What the page has from others is what they published: nobody has edited it here, or changed a line end."""

import hashlib
from pathlib import Path

import pytest

VENDOR = Path(__file__).parents[2] / "server" / "dashboard" / "vendor"
SUMS = sorted(VENDOR.glob("*/SHA256SUMS"))
OURS = {"README.md", "SHA256SUMS"}


@pytest.mark.parametrize("sums", SUMS, ids=lambda path: path.parent.name)
def test_files_are_those_of_the_package(sums: Path) -> None:
    recorded = {name: digest for digest, name in (line.split("  ", 1) for line in sums.read_text().splitlines())}
    files = {path for path in sums.parent.iterdir() if path.name not in OURS}
    assert recorded == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert "LICENSE" in recorded


def test_there_is_something_to_hold() -> None:
    assert "uplot" in {path.parent.name for path in SUMS}
