CREATE TABLE IF NOT EXISTS audit_log (at timestamptz, user_id text, tool text, outcome text, request_id text);
CREATE TABLE IF NOT EXISTS recent_calls (user_id text PRIMARY KEY, calls timestamptz[] NOT NULL, allowed boolean NOT NULL);
CREATE TABLE IF NOT EXISTS snapshots (handle text PRIMARY KEY, user_id text NOT NULL, shipments jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS bookmarks (cursor text PRIMARY KEY, question text NOT NULL, last jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS questions (
    state text PRIMARY KEY, question text NOT NULL, asked timestamptz NOT NULL DEFAULT now(), booked boolean NOT NULL
);
