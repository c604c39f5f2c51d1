-- What the elected worker says in one statement each elsewhere: here step by step, as Citus plans no statement that
-- changes distributed and other tables at once, nor one by `ctid`. A day is named by the moment at which it begins.

-- Sizes as the workers know them: here a distributed table is empty.
CREATE OR REPLACE FUNCTION stored_partitions(forms text[])
RETURNS TABLE (name text, heap bigint, bytes bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT substring(h.key FROM '^\w+_\d{8}') AS name, sum((h.value->>0)::bigint)::bigint AS heap,
               sum((h.value->>1)::bigint)::bigint AS bytes
        FROM run_command_on_all_nodes($cmd$
            SELECT json_object_agg(relname, json_build_array(pg_relation_size(oid), pg_total_relation_size(oid)))
            FROM pg_class WHERE relkind = 'r' AND relname ~ '^(readings|runs|packed)_\d{8}(_\d+)?$'
        $cmd$) AS node
        CROSS JOIN LATERAL json_each(nullif(node.result, '')::json) AS h
        WHERE node.success
        GROUP BY 1
    )
    SELECT c.relname::text, coalesce(h.heap, 0), coalesce(h.bytes, 0)
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    LEFT JOIN held h ON h.name = c.relname
    WHERE i.inhparent = ANY(forms::regclass[])
    ORDER BY right(c.relname, 8), c.relname;
END $$;

CREATE OR REPLACE FUNCTION waiting_on(day timestamptz, after integer, at_once bigint, age_days integer)
RETURNS TABLE (series_id integer, readings bigint, gone boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends CONSTANT timestamptz := day + interval '1 day';
    ids integer[];
    counts bigint[];
    packed_ids integer[];
    packed_counts bigint[];
BEGIN
    SELECT array_agg(w.id), array_agg(w.count) INTO ids, counts
    FROM (
        SELECT f.id, sum(f.count) AS count
        FROM (
            (SELECT r.series_id AS id, 1 AS count FROM readings r
             WHERE r.ts >= day AND r.ts < ends AND r.series_id > after ORDER BY r.series_id LIMIT at_once)
            UNION ALL
            (SELECT r.series_id, cardinality(r.offsets) FROM runs r
             WHERE r.ts >= day AND r.ts < ends AND r.series_id > after ORDER BY r.series_id LIMIT at_once)
        ) f
        GROUP BY f.id
    ) w;
    SELECT array_agg(w.id), array_agg(w.count) INTO packed_ids, packed_counts
    FROM (
        SELECT p.series_id AS id, sum(cardinality(p.offsets)) AS count FROM packed p
        WHERE p.ts >= day AND p.ts < ends AND p.series_id = ANY(ids)
        GROUP BY p.series_id
    ) w;
    RETURN QUERY
    SELECT w.id, w.count + coalesce(p.count, 0), s.id IS NULL OR coalesce(k.days <= age_days, false)
    FROM unnest(ids, counts) AS w (id, count)
    LEFT JOIN unnest(packed_ids, packed_counts) AS p (id, count) ON p.id = w.id
    LEFT JOIN series s ON s.id = w.id
    LEFT JOIN LATERAL (
        SELECT days FROM retention WHERE s.metric LIKE metric_like ORDER BY literals DESC, metric LIMIT 1
    ) k ON true
    ORDER BY w.id;
END $$;

CREATE OR REPLACE FUNCTION window_on(
    day timestamptz, series integer, since timestamptz, count bigint, OUT first timestamptz, OUT last timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends CONSTANT timestamptz := day + interval '1 day';
    other timestamptz;
BEGIN
    SELECT min(r.ts) INTO first FROM readings r WHERE r.series_id = series AND r.ts >= since AND r.ts < ends;
    SELECT min(r.ts) INTO other FROM runs r WHERE r.series_id = series AND r.ts >= since AND r.ts < ends;
    first := least(first, other);
    SELECT r.ts INTO last FROM readings r
    WHERE r.series_id = series AND r.ts >= since AND r.ts < ends ORDER BY r.ts OFFSET window_on.count LIMIT 1;
    SELECT min(c.ts) INTO other FROM (
        SELECT r.ts, sum(cardinality(r.offsets)) OVER (ORDER BY r.ts ROWS UNBOUNDED PRECEDING) AS held
        FROM runs r WHERE r.series_id = series AND r.ts >= since AND r.ts < ends
    ) c WHERE c.held > window_on.count;
    last := least(last, other);
END $$;

CREATE OR REPLACE FUNCTION pack_on(
    day timestamptz, chosen integer[], since timestamptz, until timestamptz, sliced boolean, gone integer[],
    end_us bigint, longest integer)
RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids integer[];
    at_us bigint[];
    held double precision[];
    later boolean[];
    more_ids integer[];
    more_us bigint[];
    more_held double precision[];
    total bigint;
BEGIN
    WITH taken AS (
        DELETE FROM readings r
        WHERE r.series_id = ANY(chosen) AND r.ts >= since AND r.ts < pack_on.until
        RETURNING r.series_id, r.ts, r.value
    )
    SELECT array_agg(t.series_id), array_agg(round(date_part('epoch', t.ts - day) * 1e6)::bigint), array_agg(t.value)
    INTO ids, at_us, held FROM taken t;
    WITH taken AS (
        DELETE FROM runs r
        WHERE r.series_id = ANY(chosen) AND r.ts >= since AND r.ts < pack_on.until
        RETURNING r.series_id, r.ts, r.offsets, r.values
    )
    SELECT array_agg(t.series_id), array_agg(round(date_part('epoch', t.ts - day) * 1e6)::bigint + o.us),
           array_agg(o.value)
    INTO more_ids, more_us, more_held
    FROM taken t CROSS JOIN LATERAL unnest(t.offsets, t.values) AS o (us, value);
    ids := ids || more_ids;
    at_us := at_us || more_us;
    held := held || more_held;
    later := array_fill(true, ARRAY[coalesce(cardinality(ids), 0)]);
    WITH taken AS (
        DELETE FROM packed p
        WHERE p.series_id = ANY(chosen) AND p.ts >= day AND p.ts < pack_on.until AND p.until >= since
        RETURNING p.series_id, p.unit_us, p.base, p.offsets, p.values
    )
    SELECT array_agg(t.series_id),
           array_agg(round(date_part('epoch', t.base - day) * 1e6)::bigint + o.units::bigint * t.unit_us),
           array_agg(o.value)
    INTO more_ids, more_us, more_held
    FROM taken t CROSS JOIN LATERAL unnest(t.offsets, t.values) AS o (units, value);
    ids := ids || more_ids;
    at_us := at_us || more_us;
    held := held || more_held;
    later := later || array_fill(false, ARRAY[coalesce(cardinality(more_ids), 0)]);

    WITH made AS (
        INSERT INTO packed (series_id, unit_us, ts, until, base, offsets, values)
        SELECT w.series_id, w.unit_us,
               day + min(w.us) * interval '1 microsecond',
               day + max(w.us) * interval '1 microsecond',
               day + CASE WHEN w.unit_us = 1 THEN w.half_hour ELSE 0 END * interval '30 minutes',
               array_agg(((w.us - CASE WHEN w.unit_us = 1 THEN w.half_hour * 1800000000::bigint ELSE 0 END)
                          / w.unit_us)::integer ORDER BY w.us),
               array_agg(w.value ORDER BY w.us)
        FROM (
            SELECT b.*, row_number() OVER w - 1 AS place, lag(b.us) OVER w AS before
            FROM (
                SELECT e.series_id, e.us, e.value, e.came_later,
                       CASE WHEN e.us % 1000 = 0 THEN 1000 ELSE 1 END AS unit_us,
                       CASE WHEN e.us % 1000 <> 0 OR sliced THEN (e.us / 1800000000)::integer ELSE 0 END AS half_hour
                FROM unnest(ids, at_us, held, later) AS e (series_id, us, value, came_later)
                WHERE NOT e.series_id = ANY(gone)
            ) b
            WINDOW w AS (PARTITION BY b.series_id, b.unit_us, b.half_hour ORDER BY b.us, b.came_later)
        ) w
        WHERE w.before IS DISTINCT FROM w.us
        GROUP BY w.series_id, w.unit_us, w.half_hour, w.place / longest
        RETURNING cardinality(offsets) AS readings
    )
    SELECT coalesce(sum(m.readings), 0) INTO total FROM made m;

    INSERT INTO rollup_final (series_id, until_us)
    SELECT s.id, pack_on.end_us FROM series s WHERE s.id = ANY(gone) ORDER BY s.id
    ON CONFLICT (series_id) DO UPDATE SET until_us = excluded.until_us WHERE rollup_final.until_us < excluded.until_us;
    INSERT INTO packing (day, moved_by) VALUES ((pack_on.day AT TIME ZONE 'UTC')::date, pg_current_xact_id())
    ON CONFLICT ON CONSTRAINT packing_pkey DO UPDATE SET moved_by = excluded.moved_by, packed_at = now();
    RETURN total;
END $$;

CREATE OR REPLACE FUNCTION may_truncate(day timestamptz) RETURNS boolean
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends CONSTANT timestamptz := day + interval '1 day';
BEGIN
    PERFORM 1 FROM readings r WHERE r.ts >= may_truncate.day AND r.ts < ends LIMIT 1;
    IF FOUND THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM runs r WHERE r.ts >= may_truncate.day AND r.ts < ends LIMIT 1;
    IF FOUND THEN
        RETURN false;
    END IF;
    RETURN pg_snapshot_xmax(pg_current_snapshot())::text::bigint
           - coalesce((SELECT p.moved_by::text::bigint FROM packing p
                       WHERE p.day = (may_truncate.day AT TIME ZONE 'UTC')::date), 0)
         > (SELECT coalesce(max(age(backend_xmin)), 0) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid());
END $$;

-- Pieces of some series and a day; all of them, as a limit would need `ctid`.
CREATE OR REPLACE FUNCTION expire_on(day timestamptz, chosen integer[], final_us bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids integer[];
BEGIN
    WITH taken AS (
        DELETE FROM packed p
        WHERE p.series_id = ANY(chosen) AND p.ts >= day AND p.ts < day + interval '1 day'
        RETURNING p.series_id
    )
    SELECT array_agg(t.series_id) INTO ids FROM taken t;
    INSERT INTO rollup_final (series_id, until_us)
    SELECT DISTINCT i.id, final_us FROM unnest(ids) AS i (id) ORDER BY i.id
    ON CONFLICT (series_id) DO UPDATE SET until_us = excluded.until_us WHERE rollup_final.until_us < excluded.until_us;
    RETURN coalesce(cardinality(ids), 0);
END $$;

CREATE OR REPLACE FUNCTION finish_on(month timestamptz, place smallint, final_us bigint, after integer, at_once bigint)
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids integer[];
BEGIN
    SELECT array_agg(d.series_id) INTO ids
    FROM (
        SELECT r.series_id FROM rollup_days r
        WHERE r.ts = finish_on.month AND finish_on.place = ANY(r.places) AND r.series_id > after
        ORDER BY r.series_id LIMIT at_once
    ) d;
    INSERT INTO rollup_final (series_id, until_us)
    SELECT i.id, final_us FROM unnest(ids) AS i (id) ORDER BY i.id
    ON CONFLICT (series_id) DO UPDATE SET until_us = excluded.until_us WHERE rollup_final.until_us < excluded.until_us;
    RETURN (SELECT max(i.id) FROM unnest(ids) AS i (id));
END $$;
