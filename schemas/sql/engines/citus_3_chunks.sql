-- What `query/stored.py` asks of many series in one statement, of one: see there.

CREATE OR REPLACE FUNCTION chunk_end(series integer, since timestamptz, until timestamptz, count bigint)
RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    place timestamptz;
BEGIN
    SELECT min(e.ts) INTO place
    FROM (
        (SELECT r.ts FROM readings r
         WHERE r.series_id = series AND r.ts >= since AND r.ts < chunk_end.until
         ORDER BY r.ts OFFSET chunk_end.count LIMIT 1)
        UNION ALL
        SELECT c.ts FROM (
            SELECT r.ts, sum(cardinality(r.offsets)) OVER (ORDER BY r.ts ROWS UNBOUNDED PRECEDING) AS held
            FROM runs r WHERE r.series_id = series AND r.ts >= since AND r.ts < chunk_end.until
        ) c WHERE c.held > chunk_end.count AND c.ts > since
        UNION ALL
        SELECT c.ts FROM (
            SELECT p.ts, sum(cardinality(p.offsets))
                         OVER (PARTITION BY p.unit_us ORDER BY p.ts ROWS UNBOUNDED PRECEDING) AS held
            FROM packed p WHERE p.series_id = series AND p.ts >= since AND p.ts < chunk_end.until
        ) c WHERE c.held > chunk_end.count AND c.ts > since
    ) e;
    RETURN least(until, place);
END $$;

CREATE OR REPLACE FUNCTION chunk_begin(series integer, since timestamptz, until timestamptz, count bigint)
RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    place timestamptz;
BEGIN
    SELECT max(e.ts) INTO place
    FROM (
        (SELECT r.ts FROM readings r
         WHERE r.series_id = series AND r.ts >= since AND r.ts < chunk_begin.until
         ORDER BY r.ts DESC OFFSET chunk_begin.count LIMIT 1)
        UNION ALL
        SELECT c.ts FROM (
            SELECT r.ts, sum(cardinality(r.offsets)) OVER (ORDER BY r.ts DESC ROWS UNBOUNDED PRECEDING) AS held
            FROM runs r WHERE r.series_id = series AND r.ts >= since AND r.ts < chunk_begin.until
        ) c WHERE c.held > chunk_begin.count
        UNION ALL
        SELECT c.ts FROM (
            SELECT p.ts, sum(cardinality(p.offsets))
                         OVER (PARTITION BY p.unit_us ORDER BY p.ts DESC ROWS UNBOUNDED PRECEDING) AS held
            FROM packed p WHERE p.series_id = series AND p.ts >= since AND p.ts < chunk_begin.until
        ) c WHERE c.held > chunk_begin.count
    ) e;
    RETURN greatest(since, place);
END $$;

-- All forms in one statement: whatever moves readings from one to another, none is missed and none comes twice.
CREATE OR REPLACE FUNCTION chunk_bytes(
    series integer, since timestamptz, until timestamptz,
    OUT plain bytea, OUT heads bytea, OUT offsets bytea, OUT run_values bytea,
    OUT piece_heads bytea, OUT units bytea, OUT piece_values bytea)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    quarter CONSTANT timestamptz := quarter_of(since);
    day CONSTANT timestamptz := day_of(since);
BEGIN
    SELECT a.plain, b.heads, b.offsets, b.run_values, c.heads, c.units, c.piece_values
    INTO plain, heads, offsets, run_values, piece_heads, units, piece_values
    FROM (
        SELECT string_agg(int4send(r.series_id) || timestamptz_send(r.ts) || float8send(r.value), '') AS plain
        FROM readings r
        WHERE r.series_id = series AND r.ts >= since AND r.ts < chunk_bytes.until
    ) a, (
        SELECT string_agg(int4send(r.series_id) || timestamptz_send(r.ts) || int4send(cardinality(r.offsets)), '')
                   AS heads,
               string_agg(substr(array_send(r.offsets), 21), '') AS offsets,
               string_agg(substr(array_send(r.values), 21), '') AS run_values
        FROM runs r
        WHERE r.series_id = series AND r.ts >= quarter AND r.ts < chunk_bytes.until AND r.until >= since
    ) b, (
        SELECT string_agg(int4send(p.series_id) || timestamptz_send(p.base) || int4send(p.unit_us)
                          || int4send(cardinality(p.offsets)), '') AS heads,
               string_agg(substr(array_send(p.offsets), 21), '') AS units,
               string_agg(substr(array_send(p.values), 21), '') AS piece_values
        FROM (VALUES (1000), (1)) AS u (us)
        CROSS JOIN LATERAL (
            SELECT max(q.ts) AS ts FROM packed q
            WHERE q.series_id = series AND q.unit_us = u.us AND q.ts >= day AND q.ts <= since
        ) AS across
        JOIN packed p
          ON p.series_id = series AND p.unit_us = u.us
         AND p.ts >= coalesce(across.ts, since) AND p.ts >= day AND p.ts < chunk_bytes.until AND p.until >= since
    ) c;
END $$;
