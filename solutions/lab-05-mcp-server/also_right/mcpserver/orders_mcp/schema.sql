-- What the server remembers, for all of its replicas. Meridian's own tables are not touched.
CREATE TABLE IF NOT EXISTS audit_log (
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    user_id    text NOT NULL,
    tool       text NOT NULL,
    outcome    text NOT NULL CHECK (outcome IN ('ok', 'error', 'refused', 'input_required', 'cancelled')),
    request_id text NOT NULL
);

-- Calls of the last minute, to count them over all replicas.
CREATE TABLE IF NOT EXISTS rate_calls (
    user_id text NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX IF NOT EXISTS rate_calls_by_user ON rate_calls (user_id, at);

-- Snapshots. The handle itself is not stored: who reads this table cannot read reports with it.
CREATE TABLE IF NOT EXISTS reports (
    handle_hash bytea PRIMARY KEY,
    user_id     text NOT NULL,
    made_at     timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS report_rows (
    handle_hash bytea NOT NULL REFERENCES reports ON DELETE CASCADE,
    position    integer NOT NULL,
    shipment    text NOT NULL,
    PRIMARY KEY (handle_hash, position)
);

-- Confirmations that were used: a requestState is good for one booking.
CREATE TABLE IF NOT EXISTS used_confirmations (
    nonce text PRIMARY KEY,
    at    timestamptz NOT NULL DEFAULT now()
);
