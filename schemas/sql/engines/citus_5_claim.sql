-- Readings that each come alone for their series (`ingest/newest.py`): claimed here, stored on the workers.
CREATE OR REPLACE FUNCTION claim_alone(
    chosen integer[], firsts bigint[], lasts bigint[], held double precision[], replacing boolean, live_since bigint,
    OUT total bigint, OUT late integer[], OUT before bigint[], OUT hot integer[], OUT closed_us bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids integer[];
    befores bigint[];
    at_us bigint[];
    fresh double precision[];
BEGIN
    WITH claimed AS (
        UPDATE newest h
        SET before_us = h.ts_us,
            ts_us = greatest(h.ts_us, n.last_us),
            value = CASE WHEN n.last_us > h.ts_us OR (replacing AND n.last_us = h.ts_us) THEN n.value ELSE h.value END,
            live_us = CASE WHEN n.last_us >= live_since THEN greatest(h.live_us, n.last_us) ELSE h.live_us END
        FROM unnest(chosen, firsts, lasts, held) AS n (series_id, first_us, last_us, value)
        WHERE h.series_id = n.series_id
        RETURNING h.series_id, h.before_us, h.hot, n.first_us, n.value
    )
    SELECT count(*), array_agg(c.series_id), array_agg(c.before_us), array_agg(c.first_us), array_agg(c.value),
           array_agg(c.series_id) FILTER (WHERE c.first_us <= c.before_us),
           array_agg(c.before_us) FILTER (WHERE c.first_us <= c.before_us),
           array_agg(c.series_id) FILTER (WHERE c.hot),
           (SELECT g.closed_us FROM rollup_gate g)
    INTO total, ids, befores, at_us, fresh, late, before, hot, closed_us
    FROM claimed c;
    INSERT INTO readings (series_id, ts, value)
    SELECT n.series_id, timestamptz 'epoch' + n.first_us * interval '1 microsecond', n.value
    FROM unnest(ids, befores, at_us, fresh) AS n (series_id, before_us, first_us, value)
    WHERE n.first_us > n.before_us;
END $$;
