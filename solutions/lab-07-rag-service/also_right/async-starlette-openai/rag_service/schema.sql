-- One row says which embedding space is in force. Writers of vectors lock it FOR SHARE, the migration FOR UPDATE.
CREATE TABLE IF NOT EXISTS service (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    model      text,
    dimensions int
);
INSERT INTO service DEFAULT VALUES ON CONFLICT DO NOTHING;

-- A document points at its current version; passages of any other version do not exist for a question.
CREATE TABLE IF NOT EXISTS documents (
    tenant      text   NOT NULL,
    document_id text   NOT NULL,
    collection  text   NOT NULL,
    version     bigint NOT NULL,
    fingerprint bytea  NOT NULL,
    passages    int    NOT NULL,
    PRIMARY KEY (tenant, document_id)
);
CREATE SEQUENCE IF NOT EXISTS versions;

CREATE TABLE IF NOT EXISTS passages (
    passage_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant         text   NOT NULL,
    document_id    text   NOT NULL,
    version        bigint NOT NULL,
    heading        text   NOT NULL,
    body           text   NOT NULL,
    words          tsvector NOT NULL,
    embedding      vector NOT NULL,
    next_embedding vector  -- filled by a migration, NULL otherwise
);
CREATE INDEX IF NOT EXISTS passages_by_document ON passages (tenant, document_id, version);
CREATE INDEX IF NOT EXISTS passages_by_word ON passages USING gin (words);

-- The tenant is a property of the transaction, not of each statement: a query that forgets it finds nothing at all.
-- FORCE, because the service owns the tables and an owner is not bound otherwise. '*' is for migrations.
ALTER TABLE documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE documents FORCE ROW LEVEL SECURITY;
ALTER TABLE passages ENABLE ROW LEVEL SECURITY;
ALTER TABLE passages FORCE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own_tenant ON documents;
CREATE POLICY own_tenant ON documents USING (current_setting('rag.tenant', true) IN (tenant, '*'));
DROP POLICY IF EXISTS own_tenant ON passages;
CREATE POLICY own_tenant ON passages USING (current_setting('rag.tenant', true) IN (tenant, '*'));
