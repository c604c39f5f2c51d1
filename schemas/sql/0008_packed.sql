-- Old days are packed: a piece is one tuple for up to 160 readings of one series and one day, however they came. Whatever
-- shows readings shows all three forms: plain ones (`readings`), runs, and pieces (`packed`).

-- A reading at a whole millisecond lies in a piece that counts milliseconds, any other in one that counts microseconds and
-- stays within half an hour, so that its offsets fit. The pieces of one series and one unit never overlap: the one that
-- may hold a moment is the last that does not begin after it. Four pieces fit on a page. Partitions are made by the packer.
CREATE TABLE packed (
    series_id integer NOT NULL,
    unit_us   integer NOT NULL,             -- microseconds of an offset's unit: 1000 or 1
    ts        timestamptz NOT NULL,         -- of the first reading
    until     timestamptz NOT NULL,         -- of the last
    base      timestamptz NOT NULL,         -- from which offsets are counted: the beginning of the day, or of the half hour
    offsets   integer[] NOT NULL,           -- units after `base`, ascending
    values    double precision[] NOT NULL,  -- as many
    PRIMARY KEY (series_id, unit_us, ts)
) PARTITION BY RANGE (ts);

ALTER TABLE packed ALTER COLUMN offsets SET STORAGE PLAIN, ALTER COLUMN values SET STORAGE PLAIN;

-- The last transaction that moved readings of a day. TRUNCATE shows an older snapshot an empty table, so what it emptied is
-- only truncated once no snapshot is as old as that.
CREATE TABLE packing (
    day       date PRIMARY KEY,
    moved_by  xid8 NOT NULL,
    packed_at timestamptz NOT NULL DEFAULT now()
);

-- How long readings of some metrics are kept, where that is shorter than for all others.
CREATE TABLE retention (
    metric      text COLLATE "C" PRIMARY KEY,  -- a glob
    days        integer NOT NULL CHECK (days BETWEEN 1 AND 36500),
    metric_like text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        translate(replace(replace(replace(metric, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_')) STORED,
    literals    integer NOT NULL GENERATED ALWAYS AS (length(translate(metric, '*?', ''))) STORED
);

CREATE FUNCTION day_of(moment timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('1 day', moment, '2000-01-01 00:00:00+00');

-- Pieces of one series with a reading since <= ts < until: from the one that lies across `since`, by index.
CREATE FUNCTION packed_between(series integer, since timestamptz, until timestamptz)
RETURNS SETOF packed
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.*
    FROM (VALUES (1000), (1)) AS u (us)
    CROSS JOIN LATERAL (
        SELECT max(q.ts) AS ts FROM packed q
        WHERE q.series_id = series AND q.unit_us = u.us AND q.ts >= day_of(since) AND q.ts <= since
    ) AS across
    JOIN packed p
      ON p.series_id = series AND p.unit_us = u.us
     AND p.ts >= coalesce(across.ts, since) AND p.ts >= day_of(since) AND p.ts < packed_between.until
     AND p.until >= since;
END;

CREATE OR REPLACE FUNCTION readings_between(series integer, since timestamptz, until timestamptz)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT r.ts, r.value
    FROM readings r
    WHERE r.series_id = series AND r.ts >= since AND r.ts < readings_between.until
    UNION ALL
    SELECT r.ts + o.us * interval '1 microsecond', o.value
    FROM runs r
    CROSS JOIN LATERAL unnest(r.offsets, r.values) AS o (us, value)
    WHERE r.series_id = series
      AND r.ts >= quarter_of(since) AND r.ts < readings_between.until AND r.until >= since
      AND r.ts + o.us * interval '1 microsecond' >= since
      AND r.ts + o.us * interval '1 microsecond' < readings_between.until
    UNION ALL
    SELECT o.ts, o.value
    FROM packed_between(series, since, readings_between.until) p
    CROSS JOIN LATERAL (
        SELECT p.base + n.units * (p.unit_us * interval '1 microsecond') AS ts, n.value
        FROM unnest(p.offsets, p.values) AS n (units, value)
    ) o
    WHERE o.ts >= since AND o.ts < readings_between.until;
END;

CREATE OR REPLACE FUNCTION oldest_between(series integer, since timestamptz, until timestamptz)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
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
        WHERE r.series_id = series AND r.ts >= quarter_of(since) AND r.ts < since AND r.until >= since
        UNION ALL
        (SELECT p.ts, p.values[1] FROM packed p
         WHERE p.series_id = series AND p.unit_us = 1000 AND p.ts >= since AND p.ts < oldest_between.until
         ORDER BY p.ts LIMIT 1)
        UNION ALL
        (SELECT p.ts, p.values[1] FROM packed p
         WHERE p.series_id = series AND p.unit_us = 1 AND p.ts >= since AND p.ts < oldest_between.until
         ORDER BY p.ts LIMIT 1)
        UNION ALL
        SELECT p.base + o.units * (p.unit_us * interval '1 microsecond'), o.value
        FROM packed_between(series, since, since + interval '1 microsecond') p
        CROSS JOIN LATERAL unnest(p.offsets, p.values) AS o (units, value)
    ) AS c (ts, value)
    WHERE c.ts >= since AND c.ts < oldest_between.until
    ORDER BY c.ts
    LIMIT 1;
END;

CREATE OR REPLACE FUNCTION newest_stored(series integer) RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    (SELECT r.ts, r.value FROM readings r WHERE r.series_id = series ORDER BY r.ts DESC LIMIT 1)
    UNION ALL
    -- A late reading may begin a run after the one that holds the newest, but within the same quarter.
    (SELECT r.until, r.values[cardinality(r.values)]
     FROM runs r
     WHERE r.series_id = series
       AND r.ts >= quarter_of((SELECT max(m.ts) FROM runs m WHERE m.series_id = series))
     ORDER BY r.until DESC
     LIMIT 1)
    UNION ALL
    (SELECT p.until, p.values[cardinality(p.values)] FROM packed p
     WHERE p.series_id = series AND p.unit_us = 1000 ORDER BY p.ts DESC LIMIT 1)
    UNION ALL
    (SELECT p.until, p.values[cardinality(p.values)] FROM packed p
     WHERE p.series_id = series AND p.unit_us = 1 ORDER BY p.ts DESC LIMIT 1)
    ORDER BY 1 DESC
    LIMIT 1;
END;

-- In runs and in pieces, `ts` of a reading is computed: a condition on it neither finds them by index nor prunes their
-- partitions, as it does for plain rows. Over long histories ask `telemetry_between`.
CREATE OR REPLACE VIEW telemetry AS
SELECT s.device, s.metric, s.labels, r.ts, r.value
FROM series s
JOIN readings r ON r.series_id = s.id
UNION ALL
SELECT s.device, s.metric, s.labels, r.ts + o.us * interval '1 microsecond', o.value
FROM series s
JOIN runs r ON r.series_id = s.id
CROSS JOIN LATERAL unnest(r.offsets, r.values) AS o (us, value)
UNION ALL
SELECT s.device, s.metric, s.labels, p.base + o.units * (p.unit_us * interval '1 microsecond'), o.value
FROM series s
JOIN packed p ON p.series_id = s.id
CROSS JOIN LATERAL unnest(p.offsets, p.values) AS o (units, value);

CREATE OR REPLACE FUNCTION telemetry_between(device text, metric text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (labels jsonb, ts timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.labels, r.ts, r.value
    FROM series s
    CROSS JOIN LATERAL readings_between(s.id, telemetry_between."from", telemetry_between."to") r
    WHERE s.device = telemetry_between.device AND s.metric = telemetry_between.metric
    ORDER BY 2;
END;

COMMENT ON TABLE packed IS 'Readings of old days, many of one series in a tuple; the view telemetry shows them one by one.';
COMMENT ON TABLE retention IS 'Days for which readings of some metrics are kept; of several globs that match, the most literal one.';
