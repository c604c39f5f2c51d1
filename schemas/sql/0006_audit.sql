-- The audit log: one row for each administrative act, written in the act's own transaction. Rows are added and, when
-- they are old, deleted; nothing changes them. It holds no secrets: a key is named by its id, a target by nothing.

CREATE TABLE audit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    key_id     text COLLATE "C",              -- NULL: no key was needed, as on the command line
    name       text NOT NULL,                 -- of the key, as it was then; or 'cli:' and a user of the system
    address    text,                          -- from which the request came; NULL where there was none
    request_id text,                          -- as in the answer and in the log lines
    act        text COLLATE "C" NOT NULL,     -- 'key.create', 'rule.delete' …
    object     text NOT NULL,                 -- an id, or the name of a device
    outcome    text NOT NULL CHECK (outcome IN ('done', 'unchanged')),
    detail     jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(detail::text) <= 8192)
);
CREATE INDEX audit_at ON audit (at);

CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '23 hours' THEN  -- SLUICE_AUDIT_DAYS is at least 1
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit log is only added to' USING ERRCODE = 'insufficient_privilege';
END;
$$;
CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit();
CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION keep_audit();
