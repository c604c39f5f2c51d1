"""A stand-in for Citus: what Sluice calls of it, defined in a plain PostgreSQL, where every table stays whole.

No registry that this project is built from carries Citus. So this shows what is called, in which order and under which
conditions, and that what is said to Citus means the same as what is said elsewhere; not that Citus plans it.
"""

from pathlib import Path

import asyncpg

STAND_IN = (Path(__file__).parent / "compose" / "standins" / "citus.sql").read_text()


async def pretend(database_url: str, stand_in: str = STAND_IN) -> None:
    """Make a database look as if it had the engine: Citus, unless told otherwise."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(stand_in)
    finally:
        await connection.close()
