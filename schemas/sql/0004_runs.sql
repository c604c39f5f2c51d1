-- Readings that came together are stored together: a run is one tuple for many readings of one series, and costs a
-- tenth of what they would cost as rows. What is stored already is known from `newest`, not from a unique index.

-- A run lies within one quarter of an hour of UTC (so the readings since a moment are in the runs since its quarter, and
-- none crosses a day) and holds at most what lets two of them fit on a page. Arrays lie in the row, never in TOAST.
CREATE TABLE runs (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,         -- of the first reading
    until     timestamptz NOT NULL,         -- of the last
    offsets   integer[] NOT NULL,           -- microseconds after `ts`, ascending from 0
    values    double precision[] NOT NULL,  -- as many
    PRIMARY KEY (series_id, ts)
) PARTITION BY RANGE (ts);

ALTER TABLE runs ALTER COLUMN offsets SET STORAGE PLAIN, ALTER COLUMN values SET STORAGE PLAIN;

-- Days that have a partition of `readings` get one of `runs`, as the writer makes both or neither.
DO $$
DECLARE
    part record;
BEGIN
    FOR part IN
        SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'readings'::regclass
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF runs %s', replace(part.name, 'readings_', 'runs_'), part.bounds);
    END LOOP;
END $$;

-- The newest reading of each series, and the lock under which a series is written: a reading later than it is new for
-- certain, and nothing else has to be looked for. 0 where there is none yet.
CREATE TABLE newest (
    series_id integer PRIMARY KEY REFERENCES series ON DELETE CASCADE,
    ts_us     bigint NOT NULL DEFAULT 0,            -- microseconds since the Unix epoch
    before_us bigint NOT NULL DEFAULT 0,            -- what it was before the last write
    value     double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 40, autovacuum_vacuum_scale_factor = 0.05);  -- updated by every group: room for versions on the page

CREATE FUNCTION quarter_of(moment timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN date_bin('15 minutes', moment, '2000-01-01 00:00:00+00');

CREATE FUNCTION newest_stored(series integer) RETURNS TABLE (ts timestamptz, value double precision)
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
    ORDER BY 1 DESC
    LIMIT 1;
END;

INSERT INTO newest (series_id, ts_us, value)
SELECT s.id, coalesce((extract(epoch FROM n.ts) * 1000000)::bigint, 0), coalesce(n.value, 0)
FROM series s
LEFT JOIN LATERAL newest_stored(s.id) n ON true;

-- In runs, `ts` of a reading is computed: a condition on it neither finds them by index nor prunes their partitions, as
-- it does for plain rows. Over long histories ask `telemetry_between`.
CREATE OR REPLACE VIEW telemetry AS
SELECT s.device, s.metric, s.labels, r.ts, r.value
FROM series s
JOIN readings r ON r.series_id = s.id
UNION ALL
SELECT s.device, s.metric, s.labels, r.ts + o.us * interval '1 microsecond', o.value
FROM series s
JOIN runs r ON r.series_id = s.id
CROSS JOIN LATERAL unnest(r.offsets, r.values) AS o (us, value);

CREATE OR REPLACE FUNCTION telemetry_between(device text, metric text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (labels jsonb, ts timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.labels, r.ts, r.value
    FROM series s
    JOIN readings r ON r.series_id = s.id
    WHERE s.device = telemetry_between.device
      AND s.metric = telemetry_between.metric
      AND r.ts >= telemetry_between."from"
      AND r.ts < telemetry_between."to"
    UNION ALL
    SELECT s.labels, r.ts + o.us * interval '1 microsecond', o.value
    FROM series s
    JOIN runs r ON r.series_id = s.id
    CROSS JOIN LATERAL unnest(r.offsets, r.values) AS o (us, value)
    WHERE s.device = telemetry_between.device
      AND s.metric = telemetry_between.metric
      AND r.ts >= quarter_of(telemetry_between."from")
      AND r.ts < telemetry_between."to"
      AND r.until >= telemetry_between."from"
      AND r.ts + o.us * interval '1 microsecond' >= telemetry_between."from"
      AND r.ts + o.us * interval '1 microsecond' < telemetry_between."to"
    ORDER BY 2;
END;

COMMENT ON TABLE runs IS 'Readings of one series that were written together; the view telemetry shows them one by one.';
COMMENT ON TABLE newest IS 'The newest reading of each series, and the lock under which it is written.';
