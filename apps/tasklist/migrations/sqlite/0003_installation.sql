-- One row: `slot` can only be 1, so of two processes that insert at once one is refused.
CREATE TABLE installation (
    slot INTEGER PRIMARY KEY CHECK (slot = 1),
    id TEXT NOT NULL
);
