-- What the assistant remembers. Meridian's own tables are not touched.
CREATE SCHEMA IF NOT EXISTS assistant;

CREATE TABLE IF NOT EXISTS assistant.conversations (
    conversation text PRIMARY KEY,
    user_id      text NOT NULL
);

CREATE TABLE IF NOT EXISTS assistant.busy (conversation text PRIMARY KEY);

-- One run for one message. `outcome` is the body that the client was answered with; NULL while the run is not at an end.
CREATE TABLE IF NOT EXISTS assistant.runs (
    conversation text NOT NULL REFERENCES assistant.conversations,
    number       integer NOT NULL,
    message_id   text NOT NULL,
    message      text NOT NULL,
    outcome      text,
    PRIMARY KEY (conversation, number),
    UNIQUE (conversation, message_id)
);

-- One reply of the model. `native` holds the vendor's own blocks, which have to go back as they came.
CREATE TABLE IF NOT EXISTS assistant.replies (
    conversation text NOT NULL,
    run          integer NOT NULL,
    position     integer NOT NULL,
    wire         text NOT NULL,
    reply        text NOT NULL,   -- JSON; text, because a model may write characters that jsonb does not take
    PRIMARY KEY (conversation, run, position),
    FOREIGN KEY (conversation, run) REFERENCES assistant.runs
);

-- One tool call of a reply. `result` is NULL until it is known.
CREATE TABLE IF NOT EXISTS assistant.calls (
    conversation text NOT NULL,
    run          integer NOT NULL,
    position     integer NOT NULL,
    index        integer NOT NULL,
    call_id      text NOT NULL,
    name         text NOT NULL,
    arguments    text NOT NULL,
    result       text,
    error        text,
    PRIMARY KEY (conversation, run, position, index),
    FOREIGN KEY (conversation, run, position) REFERENCES assistant.replies
);

-- The promise "at most once": written in the transaction of the effect itself.
CREATE TABLE IF NOT EXISTS assistant.effects (
    conversation text NOT NULL,
    call_id      text NOT NULL,
    result       text,
    error        text,
    PRIMARY KEY (conversation, call_id)
);

CREATE TABLE IF NOT EXISTS assistant.approvals (
    approval_id  text PRIMARY KEY,
    conversation text NOT NULL,
    run          integer NOT NULL,
    position     integer NOT NULL,
    index        integer NOT NULL,
    tool         text NOT NULL,
    arguments    text NOT NULL,
    hash         text NOT NULL,
    expires_at   timestamptz NOT NULL,
    decision     text CHECK (decision IN ('approve', 'deny', 'expired')),
    UNIQUE (conversation, run, position, index)
);
