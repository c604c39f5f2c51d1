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
    IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent AND inhrelid = to_regclass(quote_ident(name))) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(1360846849);  -- 0x511CE001
    IF EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent AND inhrelid = to_regclass(quote_ident(name))) THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %s INCLUDING ALL)', name, parent);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name, since, until);
    RETURN true;
END $$;
