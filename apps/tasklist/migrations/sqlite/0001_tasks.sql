-- AUTOINCREMENT: without it SQLite hands the id of the last row out again once that row is deleted,
-- and a cached fragment keyed by the id would show the deleted task's text.
CREATE TABLE tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 500)
);
