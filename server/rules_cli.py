"""`sluice rules`: the rules of a server, kept in a file."""

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from schemas.rules import RuleRequest
from server.rules_client import RulesClient, ServerRefusedError
from server.rules_file import read_rules, write_rules
from server.rules_plan import Plan, check_unique, make_plan
from server.settings import Settings
from server.up import KEY_FILE

DIFFERENT = 2  # exit code of --check; 1 is every error

app = typer.Typer(no_args_is_help=True, help="The rules of a running server, kept in a file.")

Url = Annotated[str | None, typer.Option(help="The server; else the one that the settings of this folder start.")]
Key = Annotated[str | None, typer.Option(envvar="SLUICE_KEY", help="An API key, scope admin; else DATA_DIR/admin.key.")]


@app.command("apply")
def apply_command(
    file: Annotated[Path, typer.Argument(help="YAML: a list of rules, known by their names.")],
    url: Url = None,
    key: Key = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete the rules that are not in the file.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit with 2 where something would.")] = False,
) -> None:
    """Make a server's rules those of a file: shows what would change, asks, and changes only that."""
    if check and yes:
        raise ValueError("--check changes nothing, so there is nothing to say --yes to")
    wanted = read_rules(file)
    server = _server(url, key)
    plan = asyncio.run(_plan(server, wanted, prune=prune))
    for line in plan.lines():
        typer.echo(line)
    if not plan:
        typer.echo("nothing to change")
        return
    if check:
        raise typer.Exit(DIFFERENT)
    if not yes:
        if not sys.stdin.isatty():
            raise ValueError("nothing was changed: nobody is there to ask, so say --yes")
        if not typer.confirm(f"Do this to {server[0]}?"):
            raise ValueError("nothing was changed")
    asyncio.run(_apply(server, plan))
    typer.echo(f"{len(plan.create)} created, {len(plan.change)} changed, {len(plan.delete)} deleted")


@app.command("export")
def export_command(url: Url = None, key: Key = None) -> None:
    """Print a server's rules as the file that `apply` takes."""

    async def export() -> str:
        async with RulesClient.connect(*_server(url, key)) as client:
            rules = await client.all()
        check_unique(rules)
        return write_rules(rules)

    typer.echo(asyncio.run(export()), nl=False)


def _server(url: str | None, key: str | None) -> tuple[str, str]:
    """Where the server is, and the key for it. Raises ValueError, saying what to do."""
    try:
        settings = Settings()
    except ValidationError as error:
        lines = [f"SLUICE_{str(fault['loc'][0]).upper()}: {fault['msg']}" for fault in error.errors()]
        raise ValueError("; ".join(lines)) from None
    if url is None:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - not to listen on
        url = f"http://{host}:{settings.port}"
    if not key:
        path = settings.data_dir / KEY_FILE
        try:
            key = path.read_text().strip()
        except OSError as error:
            raise ValueError(f"no key: {path} cannot be read ({error.strerror}); say --key or SLUICE_KEY") from None
    return url, key


async def _plan(server: tuple[str, str], wanted: list[RuleRequest], *, prune: bool) -> Plan:
    async with RulesClient.connect(*server) as client:
        return make_plan(wanted, await client.all(), prune=prune)


async def _apply(server: tuple[str, str], plan: Plan) -> None:
    """Do it step by step. Raises ServerRefusedError, saying how far it came."""
    async with RulesClient.connect(*server) as client:
        steps = [
            *((rule.name, partial(client.create, rule)) for rule in plan.create),
            *((each.wanted.name, partial(client.replace, each.stored.id, each.wanted)) for each in plan.change),
            *((rule.name, partial(client.delete, rule.id)) for rule in plan.delete),
        ]
        for done, (name, step) in enumerate(steps):
            try:
                await step()
            except ServerRefusedError as error:
                how_far = f"{done} of {len(steps)} steps are done, apply the file again for the others"
                raise ServerRefusedError(f"{name}: {error}; {how_far}") from None
