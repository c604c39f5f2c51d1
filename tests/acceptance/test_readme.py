"""What the README tells people to paste works, and what it names is there."""

import asyncio
import json
import re
from pathlib import Path

from tests.conftest import Server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
QUERIES = (ROOT / "docs" / "queries.md").read_text()


def curls(document: str) -> list[str]:
    """The curl commands, each whole."""
    joined = "\n".join(re.findall(r"```sh\n(.*?)```", document, re.DOTALL)).replace("\\\n", " ")
    return re.findall(r"^curl .*?(?=^\S|\Z)", joined, re.DOTALL | re.MULTILINE)


async def paste(command: str, folder: Path) -> str:
    """What the shell prints."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_every_curl_works_when_pasted(running_server: Server, tmp_path: Path) -> None:
    (tmp_path / ".sluice").mkdir()
    (tmp_path / ".sluice" / "admin.key").write_text(running_server.admin_key + "\n")
    commands = curls(README)
    assert len(commands) == 3
    answers = [
        json.loads(await paste(command.replace("http://127.0.0.1:8000", running_server.url), tmp_path))
        for command in commands
    ]
    assert answers[0] == {"accepted": 1, "duplicates": 0}
    assert answers[1]["name"] == "Overheating"
    assert [bucket["count"] for bucket in answers[2]["buckets"]] == [1]
    page, fleet, stream, buckets = [
        await paste(command.replace("http://127.0.0.1:8000", running_server.url), tmp_path)
        for command in curls(QUERIES)
    ]
    assert [item["value"] for item in json.loads(page)["items"]] == [21.5]
    assert [item["device"] for item in json.loads(fleet)["items"]] == ["pump-7"]
    assert stream == f"ts,value\n{json.loads(page)['items'][0]['ts']},21.5\n"
    assert json.loads(buckets)["buckets"][0]["max"] == 21.5
    shown = re.search(r"```json\n(.*?)\n```", README, re.DOTALL)
    assert shown
    assert json.loads(shown[1]) == answers[0]


def test_the_test_command_is_what_the_gate_calls() -> None:
    assert "python3 dev.py test " in README
    assert "python3 dev.py test || code=$?" in (ROOT / ".ci" / "run").read_text().splitlines()
