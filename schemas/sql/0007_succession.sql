-- A rule that is changed or deleted while it fires for very many series: their alerts are resolved a bounded number at a
-- time, each in a transaction of its own. Until that is done the rule watches nothing.
ALTER TABLE rules
    ADD COLUMN ending boolean NOT NULL DEFAULT false,
    ADD COLUMN successor jsonb CHECK (ending OR successor IS NULL);  -- what it becomes then; NULL: it is deleted
