-- `threshold` is in percent or items a minute; alerts that have none have NULL.
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    threshold INTEGER,
    for_minutes INTEGER NOT NULL,
    webhook TEXT,
    webhook_private INTEGER NOT NULL CHECK (webhook_private IN (0, 1)),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX alerts_of_tenant ON alerts (tenant);
