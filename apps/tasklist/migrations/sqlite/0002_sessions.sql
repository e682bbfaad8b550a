-- id: 64 hex digits, a digest of the secret in the visitor's cookie; the secret itself is not stored.
-- version: raised by every update, which names the version it has read.
-- expires: milliseconds since 1970-01-01 UTC.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    data TEXT NOT NULL,
    version BIGINT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE INDEX sessions_expires ON sessions (expires);
