-- What Sluice and docker-compose.yml call of Citus, for a plain PostgreSQL that stands in for it: every table stays whole.

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

CREATE TABLE pg_dist_node (nodeid integer GENERATED ALWAYS AS IDENTITY, nodename text PRIMARY KEY, nodeport integer);

CREATE FUNCTION citus_add_node(nodename text, nodeport integer) RETURNS integer LANGUAGE sql AS $$
    INSERT INTO pg_dist_node (nodename, nodeport) VALUES (nodename, nodeport)
    ON CONFLICT (nodename) DO UPDATE SET nodeport = excluded.nodeport RETURNING nodeid
$$;

CREATE FUNCTION citus_set_coordinator_host(host text, port integer) RETURNS void LANGUAGE sql AS $$
    SELECT citus_add_node(host, port)
$$;
