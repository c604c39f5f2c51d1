-- Where SLUICE_ENGINE=citus, `sluice migrate` runs these files after the numbered ones, each time: every statement may be
-- run again, and a migration that replaced a function is followed here.

-- What is large is spread by series over the workers, a series' readings, pieces and rollups on one of them: what is
-- asked of one series is one statement there. All else is small, or is locked by every group, and stays as it is.
SET LOCAL citus.multi_shard_modify_mode TO 'sequential';

DO $$
DECLARE
    part text;
BEGIN
    FOREACH part IN ARRAY ARRAY['readings', 'runs', 'packed', 'rollup_minutes', 'rollup_hours', 'rollup_days'] LOOP
        IF NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = part::regclass) THEN
            PERFORM create_distributed_table(
                part::regclass, 'series_id',
                colocate_with => CASE part WHEN 'readings' THEN 'none' ELSE 'readings' END);
        END IF;
    END LOOP;
END $$;
