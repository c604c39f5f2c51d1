"""`sluice doctor` and the commands that take no server: what they say, and that it holds no secret."""

import re
from pathlib import Path

import pytest

from tests.acceptance.sluice import sluice
from tests.conftest import Server


async def test_doctor_shows_every_setting_but_no_secret(running_server: Server, tmp_path: Path) -> None:
    password = running_server.database_url.partition("@")[0].rpartition(":")[2]
    secret = running_server.redis_url.partition("@")[0].rpartition(":")[2]
    assert min(len(password), len(secret)) >= 16
    (tmp_path / ".env").write_text("SLUICE_RETENTION_DAYS=30\n")
    done = await sluice(
        tmp_path,
        "doctor",
        SLUICE_DATABASE_URL=running_server.database_url,
        SLUICE_REDIS_URL=running_server.redis_url,
    )
    assert done.code == 0, done
    assert password not in done.out + done.err
    assert secret not in done.out + done.err
    lines = {line.split()[0]: line for line in done.out.splitlines()}
    assert ":***@" in lines["SLUICE_DATABASE_URL"]
    assert lines["SLUICE_DATABASE_URL"].endswith("environment")
    assert lines["SLUICE_RETENTION_DAYS"].split()[1:] == ["30", ".env"]
    assert lines["SLUICE_WORKERS"].endswith("default")
    for words in (
        "fsync is on",
        "synchronous_commit is on",
        "clock differs by",
        "PostgreSQL 18.",
        "schema is up to",
        "plain PostgreSQL",
    ):
        assert words in done.out
    assert "BAD" not in done.out


async def test_doctor_where_the_database_is_away(tmp_path: Path) -> None:
    """It names the setting, masks the secret all the same, and says so by its exit code."""
    done = await sluice(tmp_path, "doctor", SLUICE_DATABASE_URL="postgresql://sluice:hidden-word@127.0.0.1:1/sluice")
    assert done.code == 1
    assert "BAD" in done.out
    assert "check SLUICE_DATABASE_URL" in done.out
    assert "hidden-word" not in done.out + done.err


@pytest.mark.parametrize(
    ("words", "variables", "told"),
    [
        (("serve",), {}, "SLUICE_DATABASE_URL is not set"),
        (("up",), {"SLUICE_PORT": "seven"}, "SLUICE_PORT"),
        (("migrate",), {"SLUICE_DATABASE_URL": "postgresql://sluice:hidden-word@127.0.0.1:1/x"}, "sluice doctor"),
    ],
)
async def test_what_an_operator_can_mend_is_a_line(
    tmp_path: Path, words: tuple[str, ...], variables: dict[str, str], told: str
) -> None:
    done = await sluice(tmp_path, *words, **variables)
    assert done.code == 1
    assert told in done.err
    assert done.err.count("\n") == 1
    assert "hidden-word" not in done.out + done.err


async def test_help_names_every_command(tmp_path: Path) -> None:
    done = await sluice(tmp_path, "--help")
    assert done.code == 0
    for command in ("up", "serve", "migrate", "key", "doctor", "mqtt", "simulate", "load"):
        assert re.search(rf"\b{command}\b", done.out)


async def test_simulate_passes_its_options_on(tmp_path: Path) -> None:
    done = await sluice(tmp_path, "simulate", "--help")
    assert done.code == 0
    assert "--interval" in re.sub(r"\x1b\[[0-9;]*m", "", done.out)
    done = await sluice(tmp_path, "simulate", "--url", "nonsense", "--key", "x")
    assert done.code == 2
