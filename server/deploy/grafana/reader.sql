-- The role by which Grafana, and people who write SQL, read what Sluice stores, and nothing else: neither keys nor the
-- secrets of webhooks. After `sluice migrate`, by the owner of the tables, as often as wanted:
--
--   SLUICE_READER_PASSWORD=… psql --set=ON_ERROR_STOP=1 --file=server/deploy/grafana/reader.sql "$SLUICE_DATABASE_URL"

\getenv password SLUICE_READER_PASSWORD
\if :{?role} \else
    \set role sluice_reader
\endif
SELECT format('CREATE ROLE %I', :'role') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role')
\gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password' NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT 10;
-- A dashboard's query must neither run for ever nor hold up the dropping of old partitions.
ALTER ROLE :"role" SET statement_timeout = '30s';
ALTER ROLE :"role" SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE :"role" SET default_transaction_read_only = on;
ALTER ROLE :"role" SET timezone = 'UTC';
ALTER ROLE :"role" SET jit = off;
GRANT USAGE ON SCHEMA public TO :"role";
GRANT SELECT ON telemetry, devices, series, newest, readings, runs, packed, packing, retention, alerts, alert_events,
    rollup_minutes, rollup_hours, rollup_days, rollup_progress, rollup_dirty, rollup_final TO :"role";
