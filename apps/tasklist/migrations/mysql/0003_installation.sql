-- One row: `slot` can only be 1, so of two processes that insert at once one is refused.
CREATE TABLE installation (
    slot SMALLINT NOT NULL PRIMARY KEY CHECK (slot = 1),
    id VARCHAR(32) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
