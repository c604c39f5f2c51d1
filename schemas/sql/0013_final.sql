-- Rollups outlive their readings. Where readings of a series have gone, what was rolled up of them is final: whatever comes
-- late into that time is stored, and changes no rollup, as what is there would not make the same one again. Written in the
-- transaction that takes the readings away.
CREATE TABLE rollup_final (
    series_id integer PRIMARY KEY,
    until_us  bigint NOT NULL           -- microseconds since the Unix epoch, the beginning of a UTC day
) WITH (fillfactor = 70);               -- each row is updated once a day

-- What went before there was this table: days that were dropped, and metrics that are kept for a shorter time.
INSERT INTO rollup_final (series_id, until_us)
SELECT series_id, max(until_us)
FROM (
    SELECT d.series_id, (extract(epoch FROM o.day AT TIME ZONE 'UTC') * 1000000)::bigint AS until_us
    FROM rollup_days d,
         (SELECT min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp AS day
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
          WHERE i.inhparent IN ('readings'::regclass, 'runs'::regclass, 'packed'::regclass)
            AND c.relname ~ '_\d{8}$') o
    WHERE d.ts < o.day AT TIME ZONE 'UTC'
    UNION ALL
    SELECT s.id, (extract(epoch FROM day_of(now() - k.days * interval '1 day')) * 1000000)::bigint
    FROM series s
    JOIN LATERAL (
        SELECT days FROM retention WHERE s.metric LIKE metric_like ORDER BY literals DESC, metric LIMIT 1
    ) k ON true
) f
WHERE until_us IS NOT NULL
GROUP BY series_id;

COMMENT ON TABLE rollup_final IS 'Until when rollups of a series are final, as its readings of that time have gone.';

-- The one place where a partition is made, by one maker at a time: whoever finds it made does nothing. Attached, never
-- PARTITION OF, which would lock the parent against everybody.
CREATE FUNCTION ensure_partition(parent regclass, name text, since timestamptz, until timestamptz) RETURNS boolean
LANGUAGE plpgsql SET datestyle = 'ISO' SET timezone = 'UTC' AS $$
BEGIN
    -- By its name in the catalogue: to_regclass may not have heard yet of what was made while we waited for the lock.
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = parent AND relname = name) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(1360846849);  -- 0x511CE001
    IF EXISTS (SELECT FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = parent AND relname = name) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %s INCLUDING ALL)', name, parent);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, since, until);
    RETURN true;
END $$;

-- For people who write SQL, over any length of time: hours as they are rolled up, and what is not yet from the readings.
CREATE FUNCTION telemetry_hours(device text, metric text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (labels jsonb, ts timestamptz, count bigint, sum double precision, avg double precision,
               min double precision, max double precision)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT s.labels, c.ts, c.count, c.sum, c.sum / c.count,
           CASE WHEN c.count > 1 THEN r.mins[c.several] ELSE c.sum END,
           CASE WHEN c.count > 1 THEN r.maxs[c.several] ELSE c.sum END
    FROM series s
    JOIN rollup_hours r
      ON r.series_id = s.id AND r.ts >= day_of(telemetry_hours."from") AND r.ts < telemetry_hours."to"
    CROSS JOIN LATERAL (
        SELECT r.ts + u.place * interval '1 hour' AS ts, u.sum, u.count,
               count(*) FILTER (WHERE u.count > 1) OVER (ORDER BY u.place) AS several
        FROM unnest(r.places, r.sums, coalesce(r.counts, array_fill(1::bigint, ARRAY[cardinality(r.places)])))
             AS u (place, sum, count)
    ) c
    WHERE s.device = telemetry_hours.device AND s.metric = telemetry_hours.metric
      AND c.ts >= telemetry_hours."from" AND c.ts < telemetry_hours."to"
      AND c.ts < (SELECT timestamptz 'epoch' + rolled_us * interval '1 microsecond' FROM rollup_progress)
    UNION ALL
    SELECT s.labels, date_bin('1 hour', o.ts, '2000-01-01 00:00:00+00'), count(*), sum(o.value), avg(o.value),
           min(o.value), max(o.value)
    FROM series s
    CROSS JOIN LATERAL readings_between(
        s.id,
        greatest(
            telemetry_hours."from",
            (SELECT timestamptz 'epoch' + rolled_us * interval '1 microsecond' FROM rollup_progress)),
        telemetry_hours."to") o
    WHERE s.device = telemetry_hours.device AND s.metric = telemetry_hours.metric
    GROUP BY s.id, 2
    ORDER BY 2;
END;

COMMENT ON FUNCTION telemetry_hours IS
    'Hours of one metric of one device that begin in from <= ts < to, oldest first; they outlive the readings.';
