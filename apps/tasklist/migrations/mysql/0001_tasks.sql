-- InnoDB keeps the AUTO_INCREMENT counter across restarts from MySQL 8.0 and MariaDB 10.2.4 on.
-- Older servers count again from the highest id still in the table, which reuses the ids of deleted
-- tasks: do not use them with fragment caching.
CREATE TABLE tasks (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name VARCHAR(500) NOT NULL CHECK (char_length(name) BETWEEN 1 AND 500)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4;
