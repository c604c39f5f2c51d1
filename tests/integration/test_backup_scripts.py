"""The archive of PostgreSQL's log keeps each segment once, whatever is asked again, and never another in its place."""

import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "server" / "deploy" / "postgresql"


def archive(segment: Path, folder: Path) -> int:
    """As PostgreSQL asks; returns the exit code."""
    command: list[str | Path] = [SCRIPTS / "sluice-archive", segment, segment.name, folder]
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode


def test_a_segment_is_kept_once_and_never_replaced(tmp_path: Path) -> None:
    folder, segment = tmp_path / "wal", tmp_path / "00000001"
    folder.mkdir()
    segment.write_bytes(b"first")
    assert archive(segment, folder) == 0
    assert archive(segment, folder) == 0
    segment.write_bytes(b"other")
    assert archive(segment, folder) != 0
    assert [path.name for path in folder.iterdir()] == ["00000001"]
    assert (folder / "00000001").read_bytes() == b"first"


def test_without_a_folder_nothing_is_said_to_be_kept(tmp_path: Path) -> None:
    segment = tmp_path / "00000001"
    segment.write_bytes(b"first")
    assert archive(segment, tmp_path / "none") != 0


@pytest.mark.parametrize("name", ["sluice-archive", "sluice-backup"])
def test_scripts_are_those_of_a_shell(name: str) -> None:
    subprocess.run(["sh", "-n", SCRIPTS / name], check=True, timeout=20)
    assert (SCRIPTS / name).stat().st_mode & 0o111
