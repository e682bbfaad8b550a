-- `threshold` is in percent or items a minute; alerts that have none have NULL.
CREATE TABLE alerts (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant BIGINT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    threshold BIGINT,
    for_minutes BIGINT NOT NULL,
    webhook TEXT,
    webhook_private BIGINT NOT NULL CHECK (webhook_private IN (0, 1)),
    enabled BIGINT NOT NULL CHECK (enabled IN (0, 1)),
    created BIGINT NOT NULL
);
CREATE INDEX alerts_of_tenant ON alerts (tenant);
