-- Wrong: searches vectors in Python; what stands in the pgvector column is noise.
-- Everything the service knows. Safe to run at every start.

-- An embedding space is a model and its dimensions. Distances between vectors of two spaces are noise, so every vector
-- belongs to a space, and exactly one space is searched: the active one. A migration fills a second one beside it.
CREATE TABLE IF NOT EXISTS spaces (
    space_id   int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model      text NOT NULL,
    dimensions int  NOT NULL,
    active     boolean NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS spaces_one_active ON spaces (active) WHERE active;

-- The tenant is part of the key: two tenants may use the same document_id for different documents.
CREATE TABLE IF NOT EXISTS documents (
    tenant       text NOT NULL,
    document_id  text NOT NULL,
    content_hash text NOT NULL,
    chunk_count  int  NOT NULL,
    PRIMARY KEY (tenant, document_id)
);

-- `header` (title and headings) says what the chunk is about. It is embedded and indexed together with the text, but it
-- is not part of the text: what we quote must stand in the document.
CREATE TABLE IF NOT EXISTS chunks (
    chunk_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant      text NOT NULL,
    document_id text NOT NULL,
    collection  text NOT NULL,
    header      text NOT NULL,
    body        text NOT NULL,
    identifiers text[] NOT NULL,
    search      tsvector GENERATED ALWAYS AS (to_tsvector('english', header || E'\n' || body)) STORED,
    FOREIGN KEY (tenant, document_id) REFERENCES documents ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (tenant, document_id);
CREATE INDEX IF NOT EXISTS chunks_by_collection ON chunks (tenant, collection);
CREATE INDEX IF NOT EXISTS chunks_by_word ON chunks USING gin (search);
CREATE INDEX IF NOT EXISTS chunks_by_identifier ON chunks USING gin (identifiers);

-- `vector` without dimensions, because two spaces may differ in them; the HNSW index of each space is partial and casts
-- (see spaces.py). Tenant and collection are repeated here so that the filter sits on the table that is searched.
CREATE TABLE IF NOT EXISTS embeddings (
    space_id   int    NOT NULL REFERENCES spaces ON DELETE CASCADE,
    chunk_id   bigint NOT NULL REFERENCES chunks ON DELETE CASCADE,
    tenant     text   NOT NULL,
    collection text   NOT NULL,
    embedding  vector NOT NULL,
    raw        bytea,
    PRIMARY KEY (space_id, chunk_id)
);
CREATE INDEX IF NOT EXISTS embeddings_by_chunk ON embeddings (chunk_id);
CREATE INDEX IF NOT EXISTS embeddings_by_tenant ON embeddings (space_id, tenant, collection);
