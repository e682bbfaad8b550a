//! The task list's rows.
//!
//! Names are stored as they were typed; escaping is the templates' work, limits and characters are
//! the forms' (`web::forms`). The schema refuses names over 500 characters as the last line.

use serde::{Deserialize, Serialize};

use super::{Db, DbError, with_pool};

/// One task of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow)]
pub struct Task {
    /// Given by the database, rising, never used again after the task is removed.
    pub id: i64,
    /// What the visitor typed.
    pub name: String,
}

impl Db {
    /// All tasks, oldest first.
    pub async fn tasks(&self) -> Result<Vec<Task>, DbError> {
        let sql = self.sql("SELECT id, name FROM tasks ORDER BY id");
        Ok(with_pool!(self, |pool| sqlx::query_as(sql).fetch_all(pool).await?))
    }

    /// Adds a task and returns it with its id.
    pub async fn add_task(&self, name: &str) -> Result<Task, DbError> {
        const RETURNING: &str = "INSERT INTO tasks (name) VALUES ($1) RETURNING id";
        let id = match self {
            Db::Sqlite(pool) => sqlx::query_scalar(RETURNING).bind(name).fetch_one(pool).await?,
            Db::Postgres(pool) => sqlx::query_scalar(RETURNING).bind(name).fetch_one(pool).await?,
            Db::MySql(pool) => {
                let sql = "INSERT INTO tasks (name) VALUES (?)";
                let done = sqlx::query(sql).bind(name).execute(pool).await?;
                done.last_insert_id().cast_signed()
            }
        };
        Ok(Task { id, name: name.to_owned() })
    }

    /// Removes a task; false if there is none with this id.
    pub async fn remove_task(&self, id: i64) -> Result<bool, DbError> {
        let sql = self.sql("DELETE FROM tasks WHERE id = $1");
        let removed = with_pool!(self, |pool| {
            sqlx::query(sql).bind(id).execute(pool).await?.rows_affected()
        });
        Ok(removed == 1)
    }

    /// How many tasks there are.
    pub async fn task_count(&self) -> Result<i64, DbError> {
        let sql = self.sql("SELECT COUNT(*) FROM tasks");
        Ok(with_pool!(self, |pool| sqlx::query_scalar(sql).fetch_one(pool).await?))
    }
}
