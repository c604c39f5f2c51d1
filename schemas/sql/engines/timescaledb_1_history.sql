-- Where SLUICE_ENGINE=timescaledb, `sluice migrate` runs this after the numbered files, each time: it may be run again.
-- Readings stay in the partitions of Sluice (DESIGN.md says why); `history` is a copy of whole days as one row each,
-- for what TimescaleDB does with rows: time_bucket, its aggregates, columnar compression where its licence has it.

CREATE TABLE IF NOT EXISTS history (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,
    value     double precision NOT NULL,
    PRIMARY KEY (series_id, ts)
);
SELECT create_hypertable('history', by_range('ts', interval '1 day'), if_not_exists => true, create_default_indexes => false);

-- What was copied of a day, and what was stored of it at that time: a day that got late readings is copied anew.
CREATE TABLE IF NOT EXISTS history_days (
    day       date PRIMARY KEY,
    readings  bigint NOT NULL,
    moved_by  xid8,                      -- of `packing`: as long as it is the same, nothing was packed since
    copied_at timestamptz NOT NULL DEFAULT now()
);

-- Copy one day (UTC) that has been packed; how many readings that are. Does nothing, and says 0, where it was copied
-- already and not packed anew since.
CREATE OR REPLACE FUNCTION copy_day(day date) RETURNS bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    begins CONSTANT timestamptz := copy_day.day::timestamp AT TIME ZONE 'UTC';
    ends CONSTANT timestamptz := begins + interval '1 day';
    moved xid8;
    copied bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(1360846930);  -- 0x511CE052: one copier at a time
    SELECT p.moved_by INTO moved FROM packing p WHERE p.day = copy_day.day;
    IF moved IS NULL THEN
        RAISE EXCEPTION 'the day % has not been packed yet', copy_day.day USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM history_days h WHERE h.day = copy_day.day AND h.moved_by = moved) THEN
        RETURN 0;
    END IF;
    DELETE FROM history h WHERE h.ts >= begins AND h.ts < ends;
    INSERT INTO history (series_id, ts, value)
    SELECT p.series_id, p.base + o.units * (p.unit_us * interval '1 microsecond'), o.value
    FROM packed p
    CROSS JOIN LATERAL unnest(p.offsets, p.values) AS o (units, value)
    WHERE p.ts >= begins AND p.ts < ends AND EXISTS (SELECT FROM series s WHERE s.id = p.series_id);
    GET DIAGNOSTICS copied = ROW_COUNT;
    INSERT INTO history_days (day, readings, moved_by) VALUES (copy_day.day, copied, moved)
    ON CONFLICT ON CONSTRAINT history_days_pkey
    DO UPDATE SET readings = excluded.readings, moved_by = excluded.moved_by, copied_at = now();
    RETURN copied;
END $$;

CREATE OR REPLACE VIEW telemetry_history AS
SELECT s.device, s.metric, s.labels, h.ts, h.value
FROM series s
JOIN history h ON h.series_id = s.id;

COMMENT ON TABLE history IS 'A copy of packed days, a row for each reading: a hypertable. Written by copy_day.';
