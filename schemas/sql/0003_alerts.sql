-- Rules, the state of the machine for each (rule, series), the alerts it raised, and the numbered record of events.

CREATE TABLE rules (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    revision   integer NOT NULL DEFAULT 1,
    document   jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Grows with every change of any rule: a worker whose number is older loads them again.
CREATE TABLE rules_version (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO rules_version DEFAULT VALUES;

CREATE TABLE alerts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule_id         integer NOT NULL,   -- no foreign key: an alert outlives its rule and its device
    series_id       integer NOT NULL,
    rule_name       text NOT NULL,
    device          text COLLATE "C" NOT NULL,
    metric          text COLLATE "C" NOT NULL,
    labels          jsonb NOT NULL,
    severity        text NOT NULL,
    state           text NOT NULL CHECK (state IN ('firing', 'resolved')),
    value           double precision NOT NULL,
    threshold       double precision NOT NULL,
    started_at      timestamptz NOT NULL,
    fired_at        timestamptz NOT NULL,
    resolved_at     timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by text
);
CREATE UNIQUE INDEX alerts_one_active ON alerts (series_id, rule_id) WHERE state = 'firing';
CREATE INDEX alerts_by_device ON alerts (device, id);

-- The machine's state; no row means ok and nothing stepped yet.
CREATE TABLE alert_states (
    rule_id     integer NOT NULL REFERENCES rules (id) ON DELETE CASCADE,
    series_id   integer NOT NULL REFERENCES series (id) ON DELETE CASCADE,
    phase       text NOT NULL DEFAULT 'ok' CHECK (phase IN ('ok', 'pending', 'firing')),
    level       smallint,     -- while firing: which of the rule's levels, in order of severity
    since       timestamptz,  -- of the reading that began pending, or firing
    clear_since timestamptz,  -- of the reading at which keep_firing_for_s began
    last_ts     timestamptz,  -- of the last reading stepped
    alert_id    bigint REFERENCES alerts (id),
    PRIMARY KEY (rule_id, series_id)
) WITH (fillfactor = 70);
CREATE INDEX alert_states_active ON alert_states (series_id) WHERE phase <> 'ok';

CREATE TABLE alert_events (
    "offset"   bigint PRIMARY KEY,
    device     text COLLATE "C" NOT NULL,
    alert_id   bigint NOT NULL,
    data       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alert_events_by_device ON alert_events (device, "offset");

-- The last offset given out. Updated in the one statement that writes events, last before COMMIT: offsets have no gaps
-- and ascend in the order of commits, which a sequence does not promise. `epoch` changes after a restore.
CREATE TABLE alert_offset (
    singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    last_offset bigint NOT NULL DEFAULT 0,
    epoch       text NOT NULL DEFAULT left(replace(gen_random_uuid()::text, '-', ''), 16)
);
INSERT INTO alert_offset DEFAULT VALUES;
