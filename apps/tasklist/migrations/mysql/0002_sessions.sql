-- id: 64 hex digits, a digest of the secret in the visitor's cookie; the secret itself is not stored.
-- ascii_bin: an id is compared byte by byte, not by a collation.
-- version: raised by every update, which names the version it has read.
-- expires: milliseconds since 1970-01-01 UTC.
CREATE TABLE sessions (
    id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    data MEDIUMTEXT NOT NULL,
    version BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    KEY sessions_expires (expires)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
