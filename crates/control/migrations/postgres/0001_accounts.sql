-- One row: what all nodes follow. `slot` can only be 1.
CREATE TABLE directory (
    slot BIGINT PRIMARY KEY CHECK (slot = 1),
    version BIGINT NOT NULL,
    next_tenant BIGINT NOT NULL,
    installation TEXT NOT NULL
);
INSERT INTO directory VALUES (1, 1, 1, replace(gen_random_uuid()::TEXT, '-', ''));

CREATE TABLE tenants (
    id BIGINT PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    floor_bytes BIGINT NOT NULL CHECK (floor_bytes >= 0),
    ceiling_bytes BIGINT NOT NULL CHECK (ceiling_bytes >= floor_bytes),
    labels TEXT NOT NULL,
    flushes BIGINT NOT NULL DEFAULT 0,
    created BIGINT NOT NULL
);

-- `changed` is the version of the directory that changed what it may do; sessions name it.
CREATE TABLE credentials (
    username TEXT COLLATE "C" PRIMARY KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    key_prefix TEXT,
    expires BIGINT,
    note TEXT NOT NULL,
    is_primary BIGINT NOT NULL CHECK (is_primary IN (0, 1)),
    created BIGINT NOT NULL,
    changed BIGINT NOT NULL,
    last_used BIGINT
);
CREATE INDEX credentials_of_tenant ON credentials (tenant);
CREATE UNIQUE INDEX one_primary_credential ON credentials (tenant) WHERE is_primary = 1;

CREATE TABLE nodes (
    id TEXT COLLATE "C" PRIMARY KEY,
    name TEXT NOT NULL,
    servers TEXT NOT NULL,
    console_url TEXT,
    memory_bytes BIGINT NOT NULL,
    started BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    is_running BIGINT NOT NULL CHECK (is_running IN (0, 1)),
    version BIGINT NOT NULL
);

CREATE TABLE audit (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    who TEXT NOT NULL,
    origin TEXT NOT NULL,
    tenant_id BIGINT,
    tenant TEXT,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE INDEX audit_of_tenant ON audit (tenant, id);

-- An operator without a password signs in with a link.
CREATE TABLE operators (
    name TEXT COLLATE "C" PRIMARY KEY,
    password TEXT,
    created BIGINT NOT NULL
);

-- Of links, sessions and tokens only SHA-256 of the secret is here.
CREATE TABLE links (
    digest TEXT COLLATE "C" PRIMARY KEY,
    operator TEXT NOT NULL REFERENCES operators (name) ON DELETE CASCADE,
    expires BIGINT NOT NULL
);

CREATE TABLE sessions (
    id TEXT COLLATE "C" PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    operator TEXT REFERENCES operators (name) ON DELETE CASCADE,
    username TEXT REFERENCES credentials (username) ON DELETE CASCADE,
    credential_changed BIGINT,
    created BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    origin TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    CHECK ((operator IS NULL) <> (username IS NULL))
);
CREATE INDEX sessions_of_operator ON sessions (operator);
CREATE INDEX sessions_of_credential ON sessions (username);

CREATE TABLE tokens (
    id TEXT COLLATE "C" PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    operator TEXT REFERENCES operators (name) ON DELETE CASCADE,
    username TEXT REFERENCES credentials (username) ON DELETE CASCADE,
    note TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT,
    last_used BIGINT,
    CHECK ((operator IS NULL) <> (username IS NULL))
);
CREATE INDEX tokens_of_operator ON tokens (operator);
CREATE INDEX tokens_of_credential ON tokens (username);
