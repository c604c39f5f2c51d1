-- A key may have quotas of its own; null: those of the settings.

ALTER TABLE keys
    ADD COLUMN quota_requests_per_s integer CHECK (quota_requests_per_s > 0),
    ADD COLUMN quota_readings_per_s integer CHECK (quota_readings_per_s > 0);
