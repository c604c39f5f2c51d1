-- Which key made a series, and how many of those that exist each key has made: what the cap on new series counts.

ALTER TABLE series ADD COLUMN made_by text COLLATE "C";  -- id of a key; null: before there was a cap, or by no key

CREATE TABLE series_made (
    key_id text COLLATE "C" PRIMARY KEY,
    count  bigint NOT NULL DEFAULT 0  -- changed under the lock of this row, together with `series`
);

-- Whoever deletes series gives their keys the room back.
CREATE FUNCTION forget_series_made() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM series_made
    WHERE key_id IN (SELECT made_by FROM gone) ORDER BY key_id FOR UPDATE;
    UPDATE series_made m SET count = m.count - g.count
    FROM (SELECT made_by, count(*) AS count FROM gone WHERE made_by IS NOT NULL GROUP BY made_by) g
    WHERE m.key_id = g.made_by;
    RETURN NULL;
END $$;

CREATE TRIGGER forget_series_made AFTER DELETE ON series
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_series_made();
