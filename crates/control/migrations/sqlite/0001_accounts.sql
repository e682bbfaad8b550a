-- One row: what all nodes follow. `slot` can only be 1.
CREATE TABLE directory (
    slot INTEGER PRIMARY KEY CHECK (slot = 1),
    version INTEGER NOT NULL,
    next_tenant INTEGER NOT NULL,
    installation TEXT NOT NULL
) STRICT;
INSERT INTO directory VALUES (1, 1, 1, lower(hex(randomblob(16))));

CREATE TABLE tenants (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    floor_bytes INTEGER NOT NULL CHECK (floor_bytes >= 0),
    ceiling_bytes INTEGER NOT NULL CHECK (ceiling_bytes >= floor_bytes),
    labels TEXT NOT NULL,
    flushes INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL
) STRICT;

-- `changed` is the version of the directory that changed what it may do; sessions name it.
CREATE TABLE credentials (
    username TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    capabilities TEXT NOT NULL,
    key_prefix TEXT,
    expires INTEGER,
    note TEXT NOT NULL,
    is_primary INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    created INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    last_used INTEGER
) STRICT;
CREATE INDEX credentials_of_tenant ON credentials (tenant);
CREATE UNIQUE INDEX one_primary_credential ON credentials (tenant) WHERE is_primary = 1;

CREATE TABLE nodes (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    servers TEXT NOT NULL,
    console_url TEXT,
    memory_bytes INTEGER NOT NULL,
    started INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    is_running INTEGER NOT NULL CHECK (is_running IN (0, 1)),
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    origin TEXT NOT NULL,
    tenant_id INTEGER,
    tenant TEXT,
    action TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_of_tenant ON audit (tenant, id);

-- An operator without a password signs in with a link.
CREATE TABLE operators (
    name TEXT PRIMARY KEY,
    password TEXT,
    created INTEGER NOT NULL
) STRICT;

-- Of links, sessions and tokens only SHA-256 of the secret is here.
CREATE TABLE links (
    digest TEXT PRIMARY KEY,
    operator TEXT NOT NULL REFERENCES operators (name) ON DELETE CASCADE,
    expires INTEGER NOT NULL
) STRICT;

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    operator TEXT REFERENCES operators (name) ON DELETE CASCADE,
    username TEXT REFERENCES credentials (username) ON DELETE CASCADE,
    credential_changed INTEGER,
    created INTEGER NOT NULL,
    seen INTEGER NOT NULL,
    origin TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    CHECK ((operator IS NULL) <> (username IS NULL))
) STRICT;
CREATE INDEX sessions_of_operator ON sessions (operator);
CREATE INDEX sessions_of_credential ON sessions (username);

CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    operator TEXT REFERENCES operators (name) ON DELETE CASCADE,
    username TEXT REFERENCES credentials (username) ON DELETE CASCADE,
    note TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER,
    last_used INTEGER,
    CHECK ((operator IS NULL) <> (username IS NULL))
) STRICT;
CREATE INDEX tokens_of_operator ON tokens (operator);
CREATE INDEX tokens_of_credential ON tokens (username);
