"""A stand-in for Citus: what Sluice calls of it, defined in a plain PostgreSQL, where every table stays whole.

No registry that this project is built from carries Citus. So this shows what is called, in which order and under which
conditions, and that what is said to Citus means the same as what is said elsewhere; not that Citus plans it.
"""

import asyncpg

STAND_IN = """
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
VALUES (99999, 'citus', 10, 'public'::regnamespace, false, '14.0-1');
RESET allow_system_table_mods;

CREATE TABLE pg_dist_partition (logicalrelid regclass PRIMARY KEY, called integer GENERATED ALWAYS AS IDENTITY,
                                distribution_column text, colocate_with text);

CREATE FUNCTION create_distributed_table(table_name regclass, distribution_column text, distribution_type text = 'hash',
                                         colocate_with text = 'default', shard_count integer = NULL)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('citus.multi_shard_modify_mode') <> 'sequential' THEN
        RAISE 'several tables of one transaction want one connection to each worker';
    END IF;
    IF EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = table_name) THEN
        RAISE 'table "%" is already distributed', table_name;
    END IF;
    IF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = table_name AND i.indisunique AND NOT EXISTS (
        SELECT FROM pg_attribute a
        WHERE a.attrelid = table_name AND a.attname = distribution_column AND a.attnum = ANY(i.indkey))) THEN
        RAISE 'a unique key of "%" lacks its distribution column', table_name;
    END IF;
    INSERT INTO pg_dist_partition (logicalrelid, distribution_column, colocate_with)
    VALUES (table_name, distribution_column, colocate_with);
END $$;

CREATE FUNCTION run_command_on_all_nodes(command text)
RETURNS TABLE (nodeid integer, success boolean, result text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command INTO result;
    RETURN QUERY SELECT 0, true, result;
END $$;
"""


async def pretend(database_url: str, stand_in: str = STAND_IN) -> None:
    """Make a database look as if it had the engine: Citus, unless told otherwise."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(stand_in)
    finally:
        await connection.close()
