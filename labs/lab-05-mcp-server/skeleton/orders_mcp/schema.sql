-- What your server remembers, for all of its replicas. Do not change Meridian's own tables.
CREATE TABLE IF NOT EXISTS audit_log (
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id    text NOT NULL,
    tool       text NOT NULL,
    outcome    text NOT NULL,
    request_id text NOT NULL
);
