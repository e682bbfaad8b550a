//! The sessions' table, as the framework wants it.

use larder::sessions::{SessionRow, SessionTable, TableFuture};

use super::Db;

impl SessionTable for Db {
    fn load<'a>(&'a self, id: &'a str, now_ms: i64) -> TableFuture<'a, Option<SessionRow>> {
        Box::pin(async move { Ok(self.session_load(id, now_ms).await?) })
    }

    fn insert<'a>(&'a self, id: &'a str, data: &'a str, expires_ms: i64) -> TableFuture<'a, bool> {
        Box::pin(async move { Ok(self.session_insert(id, data, expires_ms).await?) })
    }

    fn update<'a>(
        &'a self,
        id: &'a str,
        data: &'a str,
        expires_ms: i64,
        expected: i64,
    ) -> TableFuture<'a, bool> {
        Box::pin(async move { Ok(self.session_update(id, data, expires_ms, expected).await?) })
    }

    fn delete<'a>(&'a self, id: &'a str) -> TableFuture<'a, ()> {
        Box::pin(async move {
            self.session_delete(id).await?;
            Ok(())
        })
    }
}
