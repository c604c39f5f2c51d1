-- Devices, their series, and the readings: the data model of the contract.

-- Names sort and match prefixes by code point, whatever the database's locale is.
CREATE TABLE devices (
    name       text COLLATE "C" PRIMARY KEY,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);  -- last_seen is updated every few seconds: leave room for it on the page

CREATE TABLE series (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never reused
    device     text COLLATE "C" NOT NULL REFERENCES devices (name) ON DELETE CASCADE,
    metric     text COLLATE "C" NOT NULL,
    labels     jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The labels by their digest: 32 pairs of 256 characters are larger than an index entry may be.
CREATE UNIQUE INDEX series_identity ON series (device, metric, md5(labels::text));

-- One partition a UTC day, made ahead of time and on demand: readings_20261120 and so on. Every unique key contains
-- series_id, so that the table can be distributed by it.
CREATE TABLE readings (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,
    value     double precision NOT NULL,
    PRIMARY KEY (series_id, ts)
) PARTITION BY RANGE (ts);

-- For people who write SQL. `WHERE device = … AND metric = … AND ts >= …` finds its series by their identity, then the
-- readings by primary key, in the partitions of that time only.
CREATE VIEW telemetry AS
SELECT s.device, s.metric, s.labels, r.ts, r.value
FROM series s
JOIN readings r ON r.series_id = s.id;

CREATE FUNCTION telemetry_between(device text, metric text, "from" timestamptz, "to" timestamptz)
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
    ORDER BY r.ts;
END;

COMMENT ON VIEW telemetry IS 'Every reading with the names of its series.';
COMMENT ON FUNCTION telemetry_between IS 'Readings of one metric of one device with from <= ts < to, oldest first.';
