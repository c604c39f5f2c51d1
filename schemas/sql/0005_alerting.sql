-- Alerts that can be trusted: what is active is known under the lock of its series; people, webhooks, flapping.

-- `hot`: some rule is pending or firing for the series, so its readings have to be stepped. Written under the series'
-- lock, in the transaction that changes the states; a state that was deleted with its rule may leave it on.
-- `live_us`: the newest reading that was not late on arrival, and so had to be stepped if the series was hot.
ALTER TABLE newest ADD COLUMN hot boolean NOT NULL DEFAULT false, ADD COLUMN live_us bigint NOT NULL DEFAULT 0;
UPDATE newest SET hot = true WHERE series_id IN (SELECT series_id FROM alert_states WHERE phase <> 'ok');

-- The arrival of the last batch with a reading that was not late: a backfill does not revive a silent device.
ALTER TABLE devices ADD COLUMN live_at timestamptz;
UPDATE devices SET live_at = last_seen;

ALTER TABLE alerts ADD COLUMN acknowledged_comment text;

-- Flapping: the last 20 changes between 21 evaluations as bits, the latest lowest; and whether it is marked.
ALTER TABLE alert_states
    ADD COLUMN history integer NOT NULL DEFAULT 0,
    ADD COLUMN flapping boolean NOT NULL DEFAULT false;
-- In a storm each check of a foreign key costs as much as the row. Who writes a state has its rule locked, and who deletes
-- a rule deletes its states.
ALTER TABLE alert_states DROP CONSTRAINT alert_states_rule_id_fkey, DROP CONSTRAINT alert_states_alert_id_fkey;
DROP INDEX alert_states_active;
CREATE INDEX alert_states_active ON alert_states (series_id) WHERE phase <> 'ok' OR flapping;

-- Webhooks of what a silence covers are held until it ends; nothing else changes.
CREATE TABLE silences (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device      text COLLATE "C" NOT NULL DEFAULT '*',  -- globs
    metric      text COLLATE "C" NOT NULL DEFAULT '*',
    device_like text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        translate(replace(replace(replace(device, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_')) STORED,
    metric_like text COLLATE "C" NOT NULL GENERATED ALWAYS AS (
        translate(replace(replace(replace(metric, '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_')) STORED,
    rule_id     integer,                    -- NULL: every rule
    comment     text NOT NULL DEFAULT '',
    until       timestamptz NOT NULL,
    created_by  text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    begun_at    timestamptz,                -- when its beginning was told for every alert it covers
    ended_at    timestamptz,                -- when its end was; NULL while it is in force
    told_id     bigint NOT NULL DEFAULT 0   -- the last alert for which the one or the other was told
);
CREATE INDEX silences_in_force ON silences (until) WHERE ended_at IS NULL;
CREATE INDEX alerts_firing ON alerts (id) WHERE state = 'firing';

-- What has to be sent to a rule's webhooks: written in the transaction of the event, tried until it is delivered or
-- dead. What is held (silenced, or flapping) is superseded by what happens to its alert meanwhile.
CREATE TABLE webhook_deliveries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    url         text NOT NULL,
    "offset"    bigint NOT NULL,   -- of the event
    rule_id     integer NOT NULL,
    series_id   integer NOT NULL,
    state       text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'dead', 'superseded')),
    held        boolean NOT NULL DEFAULT false CHECK (state = 'waiting' OR NOT held),
    opens       boolean NOT NULL DEFAULT false,  -- it superseded the event that was to tell of the alert first
    attempts    integer NOT NULL DEFAULT 0,      -- begun: counted before the request is sent
    waits_since timestamptz NOT NULL DEFAULT now(),  -- by which its patience is measured; set again when it is let go
    next_at     timestamptz NOT NULL DEFAULT now(),
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    done_at     timestamptz,                     -- when it was no longer waiting
    UNIQUE (url, "offset")
);
CREATE INDEX webhook_deliveries_waiting ON webhook_deliveries (url, "offset") WHERE state = 'waiting' AND NOT held;
CREATE INDEX webhook_deliveries_of_series ON webhook_deliveries (series_id, rule_id) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_held ON webhook_deliveries (id) WHERE held;
CREATE INDEX webhook_deliveries_listed ON webhook_deliveries (state, id);
CREATE INDEX webhook_deliveries_done ON webhook_deliveries (done_at) WHERE done_at IS NOT NULL;

-- Who is sending to a target now: one sender at most, until its lease is over, whatever became of it.
CREATE TABLE webhook_leases (
    url   text PRIMARY KEY,
    token text NOT NULL,
    until timestamptz NOT NULL
);

-- The key that signs webhooks where no setting names one: made when it is first needed.
CREATE TABLE webhook_key (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    key       text NOT NULL
);

-- Readings of one series with since <= ts < until, in no order.
CREATE FUNCTION readings_between(series integer, since timestamptz, until timestamptz)
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
      AND r.ts + o.us * interval '1 microsecond' < readings_between.until;
END;

-- The oldest reading of a series with since <= ts < until: without unpacking more runs than lie across `since`.
CREATE FUNCTION oldest_between(series integer, since timestamptz, until timestamptz)
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
    ) AS c (ts, value)
    WHERE c.ts >= since AND c.ts < oldest_between.until
    ORDER BY c.ts
    LIMIT 1;
END;

-- Since when somebody listens to devices: their silence before that says nothing. Beaten by the elected worker.
CREATE TABLE listening (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    since     timestamptz NOT NULL,
    beat_at   timestamptz NOT NULL
);
