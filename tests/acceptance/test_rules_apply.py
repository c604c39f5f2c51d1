"""`sluice rules`: a file makes a server's rules, and changes only what differs."""

import asyncio
import json
import os
import pty
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from server.rules_file import parse_rules
from tests.acceptance.sluice import Done, environment, sluice
from tests.conftest import Server

DOCS = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
EXAMPLE = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)[0]
LEVEL = "condition: {type: threshold, levels: [{severity: warning, above: 70}]}"
ONE = f"- name: Hot\n  metric: temperature\n  {LEVEL}\n"


class Folder:
    """A folder with a file of rules, and the command run in it."""

    def __init__(self, path: Path, server: Server) -> None:
        self.path, self.server = path, server

    async def apply(self, text: str, *options: str, key: str | None = None) -> Done:
        """Write the file and apply it."""
        (self.path / "rules.yaml").write_text(text)
        return await self.rules("apply", "rules.yaml", *options, key=key)

    async def rules(self, *words: str, key: str | None = None) -> Done:
        """Run `sluice rules …`."""
        key = key or self.server.admin_key
        return await sluice(self.path, "rules", *words, "--url", self.server.url, SLUICE_KEY=key)

    async def stored(self) -> dict[str, Any]:
        """The server's rules by name."""
        return {rule["name"]: rule for rule in await self.all()}

    async def all(self) -> list[dict[str, Any]]:
        """The server's rules, also where two have one name."""
        _, found = await self.server.call("GET", "/v1/rules")
        items: list[dict[str, Any]] = found["items"]
        return items


@pytest.fixture
async def folder(shared_server: Server, tmp_path: Path) -> Folder:
    """A folder, and a server without rules."""
    folder = Folder(tmp_path, shared_server)
    for rule in await folder.all():
        assert (await shared_server.call("DELETE", f"/v1/rules/{rule['id']}"))[0] == 204
    return folder


async def test_the_example_of_the_docs_applies_as_it_stands_and_twice_changes_nothing(folder: Folder) -> None:
    done = await folder.apply(EXAMPLE, "--yes")
    assert done.code == 0, done.err
    assert done.out.endswith("4 created, 0 changed, 0 deleted\n")
    stored = await folder.stored()
    assert set(stored) == {"Overheating", "Pressure out of range", "Filling too fast", "Silent"}
    assert stored["Pressure out of range"]["condition"]["outside"] == [1.5, 9.0]
    assert {rule["condition"]["type"] for rule in stored.values()} == {"threshold", "range", "rate", "absent"}
    for options in (("--yes",), ("--check",), ("--prune", "--yes"), ()):
        done = await folder.apply(EXAMPLE, *options)
        assert (done.code, done.out, done.err) == (0, "= 4 unchanged\nnothing to change\n", "")
    assert await folder.stored() == stored, "something was put again: what it had fired would be resolved"
    exported = await folder.rules("export")
    assert exported.code == 0
    assert (await folder.apply(exported.out)).out == "= 4 unchanged\nnothing to change\n"
    _, _ = await folder.server.call("DELETE", f"/v1/rules/{stored['Silent']['id']}")
    assert (await folder.apply(exported.out, "--yes")).code == 0
    again = await folder.stored()
    assert {k: v for k, v in again["Silent"].items() if k not in ("id", "created_at", "updated_at")} == {
        k: v for k, v in stored["Silent"].items() if k not in ("id", "created_at", "updated_at")
    }


async def test_only_what_differs_is_changed_and_shown_first(folder: Folder) -> None:
    await folder.apply(EXAMPLE, "--yes")
    before = await folder.stored()
    changed = EXAMPLE.replace("above: 80, clear: 75", "above: 90, clear: 75").replace("Silent", "Quiet")
    changed = changed.replace("keep_firing_for_s: 30", "webhooks: [https://example.com]")
    shown = [
        "+ Quiet: create",
        '    device: "*"',
        '    metric: "*"',
        f"~ Overheating (id {before['Overheating']['id']}): change; its firing alerts are resolved",
        "    condition.levels[1].above: 80.0 → 90.0",
        "    keep_firing_for_s: 30.0 → 0.0",
        '    webhooks: [] → ["https://example.com/"]',
        "= 2 unchanged",
        "  1 not in the file, kept (--prune deletes): Silent",
    ]
    done = await folder.apply(changed, "--check")
    assert done.code == 2
    assert [line for line in shown if line not in done.out.splitlines()] == []
    assert await folder.stored() == before
    done = await folder.apply(changed)
    assert done.code == 1, "nobody was there to ask"
    assert "say --yes" in done.err
    assert await folder.stored() == before
    assert (await folder.apply(changed, "--yes")).out.endswith("1 created, 1 changed, 0 deleted\n")
    after = await folder.stored()
    assert set(after) == {*before, "Quiet"}
    assert after["Overheating"]["revision"] == before["Overheating"]["revision"] + 1
    assert {name for name in before if after[name] != before[name]} == {"Overheating"}
    done = await folder.apply(changed, "--prune", "--yes")
    assert f"- Silent (id {before['Silent']['id']}): delete; its firing alerts are resolved" in done.out
    assert set(await folder.stored()) == {*before, "Quiet"} - {"Silent"}
    assert (await folder.apply("[]", "--yes")).code == 0
    assert len(await folder.stored()) == 4
    assert (await folder.apply("[]", "--yes", "--prune")).code == 0
    assert await folder.stored() == {}


async def test_what_an_unchanged_rule_has_fired_stays(folder: Folder) -> None:
    await folder.apply(ONE, "--yes")
    now = time.time_ns() // 1_000_000
    await asyncio.sleep(1)  # until every worker knows the rule
    batch = {"device": "fan-7", "readings": [{"ts": now, "metric": "temperature", "value": 99}]}
    assert (await folder.server.write(batch))[0] == 200
    firing = (await folder.server.call("GET", "/v1/alerts?state=firing"))[1]["items"]
    assert len(firing) == 1
    await folder.apply(ONE + ONE.replace("Hot", "Hot too"), "--yes")
    assert (await folder.server.call("GET", "/v1/alerts?state=firing"))[1]["items"] == firing


async def test_a_person_at_a_terminal_is_asked(folder: Folder) -> None:
    (folder.path / "rules.yaml").write_text(ONE)
    words = ("rules", "apply", "rules.yaml", "--url", folder.server.url)
    for answer, code, count in (("n", 1, 0), ("y", 0, 1)):
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.cli", *words),
            cwd=folder.path,
            env=environment(SLUICE_KEY=folder.server.admin_key),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        os.close(ours)
        os.close(theirs)
        assert process.returncode == code, err.decode()
        assert "Do this to http://127.0.0.1" in out.decode()
        assert len(await folder.stored()) == count


async def test_a_bad_file_changes_nothing(folder: Folder) -> None:
    done = await folder.apply(ONE + ONE.replace("Hot", "Cold").replace("above", "abvoe"), "--yes", "--prune")
    assert done.code == 1
    assert done.err.splitlines() == [
        "sluice: rules.yaml:6: rule 'Cold': condition.levels[0].abvoe: no such key; did you mean 'above'?",
    ]
    assert await folder.stored() == {}


async def test_refusals_say_what_to_do(folder: Folder, tmp_path: Path) -> None:
    reader = await folder.server.key("read")
    done = await folder.apply(ONE, "--yes", key=reader)
    assert done.code == 1
    assert "403" in done.err
    assert "0 of 1 steps are done" in done.err
    assert (await folder.apply(ONE, "--check", key=reader)).code == 2
    assert "401" in (await folder.apply(ONE, "--check", key="slk_no_key")).err
    assert "not a Sluice" not in done.err
    nobody = await sluice(tmp_path, "rules", "apply", "rules.yaml", "--url", "http://127.0.0.1:1", SLUICE_KEY="slk_x")
    assert (nobody.code, nobody.err.count("\n")) == (1, 1)
    assert "does it run?" in nobody.err
    assert "no key" in (await sluice(tmp_path, "rules", "export", "--url", folder.server.url)).err
    missing = await folder.rules("apply", "missing.yaml")
    assert (missing.code, missing.err) == (1, "sluice: missing.yaml: cannot be read: No such file or directory\n")
    ids = []
    for _ in range(2):
        rule = {"name": "Hot", "metric": "*", "condition": parse_rules(ONE, "")[0].condition.model_dump(mode="json")}
        status, made = await folder.server.call("POST", "/v1/rules", rule)
        assert status == 201
        ids.append(made["id"])
    done = await folder.apply(ONE, "--yes")
    assert done.code == 1
    assert f"2 rules called 'Hot' (ids {ids[0]}, {ids[1]})" in done.err
    assert "2 rules called 'Hot'" in (await folder.rules("export")).err


async def test_the_key_and_the_address_of_this_folder_are_found(folder: Folder) -> None:
    (folder.path / ".sluice").mkdir()
    (folder.path / ".sluice" / "admin.key").write_text(folder.server.admin_key + "\n")
    (folder.path / ".env").write_text(f"SLUICE_HOST=0.0.0.0\nSLUICE_PORT={folder.server.url.rpartition(':')[2]}\n")
    (folder.path / "rules.yaml").write_text(ONE)
    done = await sluice(folder.path, "rules", "apply", "rules.yaml", "--yes")
    assert (done.code, done.err) == (0, "")
    assert set(await folder.stored()) == {"Hot"}


async def test_the_preview_of_the_docs_works_when_pasted(folder: Folder) -> None:
    now = time.time_ns() // 1_000_000
    readings = [
        {"ts": now - 60_000 + at, "metric": "temperature", "value": value}
        for at, value in ((0, 71), (8_000, 70.5), (12_000, 72.5))
    ]
    assert (await folder.server.write({"device": "pump-7", "readings": readings}))[0] == 200
    (folder.path / ".sluice").mkdir()
    (folder.path / ".sluice" / "admin.key").write_text(folder.server.admin_key)
    command = re.findall(r"```sh\n(curl .*?)```", DOCS, re.DOTALL)[0]
    command = command.replace("http://127.0.0.1:8000", folder.server.url)
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=folder.path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    answer = json.loads(out)
    shown = json.loads(re.findall(r"```json\n(.*?)```", DOCS, re.DOTALL)[0])
    shown["transitions"][0]["at"] = answer["transitions"][0]["at"]
    assert answer == shown
    assert json.dumps(answer, separators=(",", ":")) == out.decode()
