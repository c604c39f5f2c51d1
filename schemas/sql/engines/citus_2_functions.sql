-- The functions of the numbered migrations that read distributed tables, in PL/pgSQL: Citus plans no parameters of SQL
-- functions. Each statement names one series, so it runs whole on one worker, in one snapshot; what it is bounded by is
-- computed before, as functions of ours are not there.

CREATE OR REPLACE FUNCTION packed_between(series integer, since timestamptz, until timestamptz)
RETURNS SETOF packed
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    day CONSTANT timestamptz := day_of(since);
BEGIN
    RETURN QUERY
    SELECT p.*
    FROM (VALUES (1000), (1)) AS u (us)
    CROSS JOIN LATERAL (
        SELECT max(q.ts) AS ts FROM packed q
        WHERE q.series_id = series AND q.unit_us = u.us AND q.ts >= day AND q.ts <= since
    ) AS across
    JOIN packed p
      ON p.series_id = series AND p.unit_us = u.us
     AND p.ts >= coalesce(across.ts, since) AND p.ts >= day AND p.ts < packed_between.until AND p.until >= since;
END $$;

CREATE OR REPLACE FUNCTION readings_between(series integer, since timestamptz, until timestamptz)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    quarter CONSTANT timestamptz := quarter_of(since);
    day CONSTANT timestamptz := day_of(since);
BEGIN
    RETURN QUERY
    SELECT r.ts, r.value
    FROM readings r
    WHERE r.series_id = series AND r.ts >= since AND r.ts < readings_between.until
    UNION ALL
    SELECT r.ts + o.us * interval '1 microsecond', o.value
    FROM runs r
    CROSS JOIN LATERAL unnest(r.offsets, r.values) AS o (us, value)
    WHERE r.series_id = series AND r.ts >= quarter AND r.ts < readings_between.until AND r.until >= since
      AND r.ts + o.us * interval '1 microsecond' >= since
      AND r.ts + o.us * interval '1 microsecond' < readings_between.until
    UNION ALL
    SELECT o.ts, o.value
    FROM (VALUES (1000), (1)) AS u (us)
    CROSS JOIN LATERAL (
        SELECT max(q.ts) AS ts FROM packed q
        WHERE q.series_id = series AND q.unit_us = u.us AND q.ts >= day AND q.ts <= since
    ) AS across
    JOIN packed p
      ON p.series_id = series AND p.unit_us = u.us
     AND p.ts >= coalesce(across.ts, since) AND p.ts >= day AND p.ts < readings_between.until AND p.until >= since
    CROSS JOIN LATERAL (
        SELECT p.base + n.units * (p.unit_us * interval '1 microsecond') AS ts, n.value
        FROM unnest(p.offsets, p.values) AS n (units, value)
    ) o
    WHERE o.ts >= since AND o.ts < readings_between.until;
END $$;

CREATE OR REPLACE FUNCTION oldest_between(series integer, since timestamptz, until timestamptz)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    quarter CONSTANT timestamptz := quarter_of(since);
    day CONSTANT timestamptz := day_of(since);
BEGIN
    RETURN QUERY
    SELECT c.ts, c.value
    FROM (
        (SELECT r.ts, r.value FROM readings r
         WHERE r.series_id = series AND r.ts >= since AND r.ts < oldest_between.until ORDER BY r.ts LIMIT 1)
        UNION ALL
        (SELECT r.ts, r.values[1] FROM runs r
         WHERE r.series_id = series AND r.ts >= since AND r.ts < oldest_between.until ORDER BY r.ts LIMIT 1)
        UNION ALL
        SELECT r.ts + o.us * interval '1 microsecond', o.value
        FROM runs r
        CROSS JOIN LATERAL unnest(r.offsets, r.values) AS o (us, value)
        WHERE r.series_id = series AND r.ts >= quarter AND r.ts < since AND r.until >= since
        UNION ALL
        (SELECT p.ts, p.values[1] FROM packed p
         WHERE p.series_id = series AND p.unit_us = 1000 AND p.ts >= since AND p.ts < oldest_between.until
         ORDER BY p.ts LIMIT 1)
        UNION ALL
        (SELECT p.ts, p.values[1] FROM packed p
         WHERE p.series_id = series AND p.unit_us = 1 AND p.ts >= since AND p.ts < oldest_between.until
         ORDER BY p.ts LIMIT 1)
        UNION ALL
        SELECT p.base + o.units * (p.unit_us * interval '1 microsecond'), o.value  -- of pieces that lie across `since`
        FROM packed p
        CROSS JOIN LATERAL unnest(p.offsets, p.values) AS o (units, value)
        WHERE p.series_id = series AND p.ts >= day AND p.ts <= since AND p.until >= since
    ) AS c (ts, value)
    WHERE c.ts >= since AND c.ts < oldest_between.until
    ORDER BY c.ts
    LIMIT 1;
END $$;

CREATE OR REPLACE FUNCTION newest_stored(series integer) RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    quarter timestamptz;
BEGIN
    SELECT quarter_of(m.last) INTO quarter FROM (SELECT max(r.ts) AS last FROM runs r WHERE r.series_id = series) m;
    RETURN QUERY
    (SELECT r.ts, r.value FROM readings r WHERE r.series_id = series ORDER BY r.ts DESC LIMIT 1)
    UNION ALL
    (SELECT r.until, r.values[cardinality(r.values)]
     FROM runs r WHERE r.series_id = series AND r.ts >= quarter ORDER BY r.until DESC LIMIT 1)
    UNION ALL
    (SELECT p.until, p.values[cardinality(p.values)] FROM packed p
     WHERE p.series_id = series AND p.unit_us = 1000 ORDER BY p.ts DESC LIMIT 1)
    UNION ALL
    (SELECT p.until, p.values[cardinality(p.values)] FROM packed p
     WHERE p.series_id = series AND p.unit_us = 1 ORDER BY p.ts DESC LIMIT 1)
    ORDER BY 1 DESC
    LIMIT 1;
END $$;

CREATE OR REPLACE FUNCTION hours_between(series integer, since timestamptz, until timestamptz)
RETURNS TABLE (ts timestamptz, count bigint, sum double precision, min double precision, max double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    day CONSTANT timestamptz := day_of(since);
BEGIN
    RETURN QUERY
    SELECT c.ts, c.count, c.sum,
           CASE WHEN c.count > 1 THEN r.mins[c.several] ELSE c.sum END,
           CASE WHEN c.count > 1 THEN r.maxs[c.several] ELSE c.sum END
    FROM rollup_hours r
    CROSS JOIN LATERAL (
        SELECT r.ts + u.place * interval '1 hour' AS ts, u.sum, u.count,
               count(*) FILTER (WHERE u.count > 1) OVER (ORDER BY u.place) AS several
        FROM unnest(r.places, r.sums, coalesce(r.counts, array_fill(1::bigint, ARRAY[cardinality(r.places)])))
             AS u (place, sum, count)
    ) c
    WHERE r.series_id = series AND r.ts >= day AND r.ts < hours_between.until
      AND c.ts >= since AND c.ts < hours_between.until;
END $$;

CREATE OR REPLACE FUNCTION telemetry_hours(device text, metric text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (labels jsonb, ts timestamptz, count bigint, sum double precision, avg double precision,
               min double precision, max double precision)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    rolled timestamptz;
BEGIN
    SELECT timestamptz 'epoch' + rolled_us * interval '1 microsecond' INTO rolled FROM rollup_progress;
    RETURN QUERY
    SELECT s.labels, h.ts, h.count, h.sum, h.sum / h.count, h.min, h.max
    FROM series s
    CROSS JOIN LATERAL hours_between(s.id, telemetry_hours."from", least(telemetry_hours."to", rolled)) h
    WHERE s.device = telemetry_hours.device AND s.metric = telemetry_hours.metric
    UNION ALL
    SELECT s.labels, date_bin('1 hour', o.ts, '2000-01-01 00:00:00+00'), count(*), sum(o.value), avg(o.value),
           min(o.value), max(o.value)
    FROM series s
    CROSS JOIN LATERAL readings_between(s.id, greatest(telemetry_hours."from", rolled), telemetry_hours."to") o
    WHERE s.device = telemetry_hours.device AND s.metric = telemetry_hours.metric
    GROUP BY s.id, 2
    ORDER BY 2;
END $$;
