-- Rollups: what is told of the readings of a minute, an hour, a day of one series, many of these cells in a tuple. A tuple
-- of `rollup_minutes` is an hour, of `rollup_hours` a day, of `rollup_days` thirty days since 1970. Everything below
-- `rollup_progress.rolled_us` is rolled up, and right but for the hours of `rollup_dirty`.
CREATE TABLE rollup_minutes (
    series_id integer NOT NULL,
    ts        timestamptz NOT NULL,         -- of the tuple
    places    smallint[] NOT NULL,          -- of the cells in it that are not empty, ascending from 0
    sums      double precision[] NOT NULL,  -- of the readings in order of time (query/cells.py)
    first_us  integer[] NOT NULL,           -- microseconds after the cell's beginning
    counts    integer[],                    -- NULL, as all that follow, where each cell is of one reading
    mins      double precision[],           -- of the cells of several readings only, as all that follow
    maxs      double precision[],
    firsts    double precision[],
    lasts     double precision[],
    last_us   integer[],
    PRIMARY KEY (series_id, ts)
) PARTITION BY RANGE (ts);

-- Arrays lie in the row, never in TOAST: two full tuples fit on a page.
ALTER TABLE rollup_minutes
    ALTER COLUMN places SET STORAGE PLAIN, ALTER COLUMN sums SET STORAGE PLAIN, ALTER COLUMN first_us SET STORAGE PLAIN,
    ALTER COLUMN counts SET STORAGE PLAIN, ALTER COLUMN mins SET STORAGE PLAIN, ALTER COLUMN maxs SET STORAGE PLAIN,
    ALTER COLUMN firsts SET STORAGE PLAIN, ALTER COLUMN lasts SET STORAGE PLAIN, ALTER COLUMN last_us SET STORAGE PLAIN;

CREATE TABLE rollup_hours (LIKE rollup_minutes INCLUDING ALL) PARTITION BY RANGE (ts);
ALTER TABLE rollup_hours
    ALTER COLUMN first_us TYPE bigint[], ALTER COLUMN last_us TYPE bigint[], ALTER COLUMN counts TYPE bigint[];
ALTER TABLE rollup_hours
    ALTER COLUMN first_us SET STORAGE PLAIN, ALTER COLUMN last_us SET STORAGE PLAIN, ALTER COLUMN counts SET STORAGE PLAIN;
CREATE TABLE rollup_days (LIKE rollup_hours INCLUDING ALL) PARTITION BY RANGE (ts);

-- Readings before this moment may be rolled up already: who stores one marks its hour, in the same transaction. Every
-- group reads it.
CREATE TABLE rollup_gate (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    closed_us bigint NOT NULL DEFAULT 0     -- microseconds since the Unix epoch, the beginning of an hour
);
INSERT INTO rollup_gate DEFAULT VALUES;

-- How far the elected worker has come. Each of its transactions updates the row first, so that of two that overlap one fails.
CREATE TABLE rollup_progress (
    one              boolean PRIMARY KEY DEFAULT true CHECK (one),
    turns            bigint NOT NULL DEFAULT 0,
    rolled_us        bigint NOT NULL DEFAULT 0,  -- rolled up for all series until there; 0: not begun
    until_us         bigint NOT NULL DEFAULT 0,  -- and until there for the series up to this one
    after_series     integer NOT NULL DEFAULT 0,
    minutes_since_us bigint NOT NULL DEFAULT 0,  -- cells before that have expired, or will in a moment
    hours_since_us   bigint NOT NULL DEFAULT 0
);
INSERT INTO rollup_progress DEFAULT VALUES;

-- Hours of a series with readings that came after the gate was closed. No unique key, so that nobody waits for anybody.
CREATE TABLE rollup_dirty (
    series_id integer NOT NULL,
    hour      timestamptz NOT NULL,
    at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rollup_dirty_series ON rollup_dirty (series_id, hour);

COMMENT ON TABLE rollup_minutes IS 'Minutes of each series, an hour in a tuple; GET /v1/series answers from them.';
COMMENT ON TABLE rollup_hours IS 'Hours of each series, a day in a tuple.';
COMMENT ON TABLE rollup_days IS 'Days of each series, thirty in a tuple.';
COMMENT ON TABLE rollup_dirty IS 'Hours to be rolled up again. Whoever changes old readings by SQL puts theirs in.';
