"""The version stands in one place; what repeats it says the same."""

import re
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from server.cli import app

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_command_says_it() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"sluice {VERSION}\n"


def test_the_manifests_name_its_image() -> None:
    manifests = (ROOT / "server" / "deploy" / "kubernetes").glob("*.yaml")
    tags = {tag for path in manifests for tag in re.findall(r"image: .*/sluice:(\S+)", path.read_text())}
    assert tags == {VERSION}
