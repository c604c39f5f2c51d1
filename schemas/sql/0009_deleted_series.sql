-- Series that were deleted, and whose readings are still to be removed. Nothing shows those any more, as whatever shows
-- readings finds them by `series`; and nobody writes any, as the row in `newest`, under whose lock that is done, is gone.
CREATE TABLE deleted_series (
    series_id  integer PRIMARY KEY,
    deleted_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE deleted_series IS 'Series of deleted devices whose readings are being removed.';
