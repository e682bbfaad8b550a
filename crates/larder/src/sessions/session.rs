//! A visitor's session, as handlers use it.
//!
//! The handle owns the request's cookies and a working copy of the session, which is read at the
//! first use. Changes are made to the copy and noted; [`Session::save`] makes them again on what is
//! stored by then.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Extensions, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

use super::cookie::SessionId;
use super::error::SessionError;
use super::layer::Settings;
use super::record::{Change, Data, Loaded, Record, apply};

/// One visitor's session during one request. Clones are the same session.
///
/// Found in the request's extensions below a [`SessionLayer`](super::SessionLayer). Changes that
/// are made after the response has been given back are not saved.
#[derive(Clone)]
pub struct Session(Arc<Shared>);

struct Shared {
    settings: Arc<Settings>,
    cookies: Vec<HeaderValue>,
    touched: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the session has been read, or is known to be none.
    opened: bool,
    /// What is stored; none for a visitor without a session.
    stored: Option<Stored>,
    /// The session as this request sees it.
    data: Data,
    changes: Vec<Change>,
    cycle: bool,
    cookie: CookieChange,
}

struct Stored {
    id: SessionId,
    loaded: Loaded,
}

/// What the response is to do about the cookie.
#[derive(Clone, Debug, Default)]
pub(super) enum CookieChange {
    #[default]
    None,
    Set(SessionId),
    Expire,
}

impl Session {
    pub(super) fn new(settings: Arc<Settings>, cookies: Vec<HeaderValue>) -> Self {
        let (touched, state) = (AtomicBool::new(false), Mutex::default());
        Self(Arc::new(Shared { settings, cookies, touched, state }))
    }

    /// The session of a request with these extensions, below a session layer.
    #[must_use]
    pub fn from_extensions(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// Whether anything has been asked of it, so that the response depends on the visitor.
    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.0.touched.load(Ordering::Acquire)
    }

    /// Whether nothing is stored for this visitor yet.
    ///
    /// # Errors
    /// If the session cannot be read.
    pub async fn is_new(&self) -> Result<bool, SessionError> {
        Ok(self.open().await?.stored.is_none())
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// If the session cannot be read, or the value is of another type.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        let state = self.open().await?;
        let value = state.data.get(key).map(T::deserialize).transpose();
        value.map_err(|source| wrong(key, source))
    }

    /// Puts `value` under `key`. The same value again is no change.
    ///
    /// # Errors
    /// If the session cannot be read, or the value has no JSON form.
    pub async fn insert<T: Serialize + ?Sized>(
        &self,
        key: &str,
        value: &T,
    ) -> Result<(), SessionError> {
        let value = serde_json::to_value(value).map_err(|source| wrong(key, source))?;
        let mut state = self.open().await?;
        if state.data.get(key) != Some(&value) {
            let key = key.to_owned();
            state.change(move |data| {
                data.insert(key.clone(), value.clone());
            });
        }
        Ok(())
    }

    /// Replaces the value under `key` by what `change` makes of it, and gives that back.
    ///
    /// `change` may be called again when the session is saved, with a value that another request
    /// has stored meanwhile, so nothing that was counted is lost. A value of another type is given
    /// to it as `None`.
    ///
    /// # Errors
    /// If the session cannot be read, or the new value has no JSON form.
    pub async fn update<T, F>(&self, key: &str, change: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        let mut state = self.open().await?;
        let updated = move |value: Option<&Value>| {
            let new = change(value.and_then(|value| T::deserialize(value).ok()));
            serde_json::to_value(&new).map(|json| (new, json))
        };
        let (new, _) = updated(state.data.get(key)).map_err(|source| wrong(key, source))?;
        let key = key.to_owned();
        state.change(move |data| {
            if let Ok((_, json)) = updated(data.get(&key)) {
                data.insert(key.clone(), json);
            }
        });
        Ok(new)
    }

    /// Removes the value under `key`.
    ///
    /// # Errors
    /// If the session cannot be read.
    pub async fn remove(&self, key: &str) -> Result<(), SessionError> {
        let mut state = self.open().await?;
        if state.data.contains_key(key) {
            let key = key.to_owned();
            state.change(move |data| {
                data.remove(&key);
            });
        }
        Ok(())
    }

    /// Gives the session a new id and makes the old one worthless: to be called when a visitor
    /// signs in or gains rights, since somebody else may have planted the old id on them.
    ///
    /// # Errors
    /// If the session cannot be read.
    pub async fn cycle_id(&self) -> Result<(), SessionError> {
        self.open().await?.cycle = true;
        Ok(())
    }

    /// Deletes the session, at once and for good: sign-out. What is put in afterwards begins a new
    /// one.
    ///
    /// # Errors
    /// If what keeps the session did not confirm the delete: the visitor may still be signed in, and
    /// should be told so. The cookie stays, for without it they could not try again. With
    /// [`SessionEngine::Cache`](super::SessionEngine::Cache) the delete is owed as any other, so this
    /// process will not show the session again once it reaches the cache.
    pub async fn destroy(&self) -> Result<(), SessionError> {
        let mut state = self.touch().await;
        let id = match &state.stored {
            Some(stored) => Some(stored.id.clone()),
            None if state.opened => None,
            None => self.id_of_request(),
        };
        let cookie = match &id {
            Some(id) => {
                self.0.settings.engine.delete(&id.stored_as()).await?;
                CookieChange::Expire
            }
            None => CookieChange::None,
        };
        *state = State { opened: true, cookie, ..State::default() };
        Ok(())
    }

    /// Saves what was changed so far. The layer does this when the handler has answered; call it
    /// to deal with an error yourself.
    ///
    /// # Errors
    /// If the changes could not be stored. They stay noted, so it can be called again; if the
    /// response is to go out without them, [`discard_changes`](Self::discard_changes).
    pub async fn save(&self) -> Result<(), SessionError> {
        if !self.is_touched() {
            return Ok(());
        }
        let mut state = self.0.state.lock().await;
        let settings = &self.0.settings;
        let now_ms = settings.now_ms();
        let State { stored, changes, cycle, .. } = &*state;
        match stored {
            None if changes.is_empty() => {}
            None => state.create(settings, now_ms).await?,
            Some(_) if *cycle => state.renew_id(settings, now_ms).await?,
            Some(stored) => {
                if !changes.is_empty() || settings.is_due(stored.loaded.record.expires_ms, now_ms) {
                    state.store(settings, now_ms).await?;
                }
            }
        }
        state.changes.clear();
        state.cycle = false;
        Ok(())
    }

    /// Forgets what this request has changed and not saved, so that the layer has nothing to save:
    /// for changes that must not fail a request whose real work is done. Everything unsaved goes,
    /// a new id ([`cycle_id`](Self::cycle_id)) included; what was saved or destroyed stays so.
    ///
    /// ```
    /// # use larder::sessions::Session;
    /// # async fn add_task(_: &str) {}
    /// async fn add(session: Session, name: String) -> &'static str {
    ///     add_task(&name).await; // it is added now, whatever becomes of the note
    ///     if session.insert("last", &name).await.is_ok() && session.save().await.is_err() {
    ///         session.discard_changes().await;
    ///     }
    ///     "added"
    /// }
    /// ```
    pub async fn discard_changes(&self) {
        if !self.is_touched() {
            return;
        }
        let mut state = self.0.state.lock().await;
        let stored = state.stored.as_ref();
        let data = stored.map(|stored| stored.loaded.record.data.clone()).unwrap_or_default();
        (state.data, state.cycle) = (data, false);
        state.changes.clear();
    }

    /// What is to become of the cookie, after the last [`save`](Self::save).
    pub(super) async fn cookie(&self) -> CookieChange {
        self.0.state.lock().await.cookie.clone()
    }

    async fn touch(&self) -> MutexGuard<'_, State> {
        self.0.touched.store(true, Ordering::Release);
        self.0.state.lock().await
    }

    /// The session, read if it has not been yet.
    async fn open(&self) -> Result<MutexGuard<'_, State>, SessionError> {
        let mut state = self.touch().await;
        if state.opened {
            return Ok(state);
        }
        if let Some(id) = self.id_of_request() {
            let settings = &self.0.settings;
            let loaded = settings.engine.load(&id.stored_as(), settings.now_ms()).await?;
            if let Some(loaded) = loaded {
                state.data = loaded.record.data.clone();
                state.stored = Some(Stored { id, loaded });
            }
        }
        state.opened = true;
        Ok(state)
    }

    fn id_of_request(&self) -> Option<SessionId> {
        SessionId::from_cookies(&self.0.cookies, &self.0.settings.cookie.name)
    }
}

impl Stored {
    /// Stores `data` under an id of its own.
    async fn create(settings: &Settings, data: Data, now_ms: i64) -> Result<Self, SessionError> {
        let id = SessionId::random();
        let record = Record::new(data, settings.end(now_ms));
        let loaded = settings.engine.create(&id.stored_as(), record, now_ms).await?;
        Ok(Self { id, loaded })
    }
}

impl State {
    fn change(&mut self, change: impl Fn(&mut Data) + Send + Sync + 'static) {
        change(&mut self.data);
        self.changes.push(Box::new(change));
    }

    /// Stores the working copy as a new session.
    async fn create(&mut self, settings: &Settings, now_ms: i64) -> Result<(), SessionError> {
        let created = Stored::create(settings, self.data.clone(), now_ms).await?;
        self.adopt(created);
        Ok(())
    }

    /// Goes on with a session of a new id.
    fn adopt(&mut self, created: Stored) {
        self.cookie = CookieChange::Set(created.id.clone());
        self.stored = Some(created);
    }

    /// Moves the session to a new id. If it was deleted meanwhile, only what this request has put
    /// in goes there: nothing of a deleted session comes back.
    async fn renew_id(&mut self, settings: &Settings, now_ms: i64) -> Result<(), SessionError> {
        let Some(old) = &self.stored else { return Ok(()) };
        let old = old.id.stored_as();
        let current = settings.engine.reload(&old, now_ms).await?;
        let is_gone = current.is_none();
        self.data = current.map(|loaded| loaded.record.data).unwrap_or_default();
        apply(&self.changes, &mut self.data);
        if is_gone && self.data.is_empty() {
            self.stored = None;
            return Ok(());
        }
        let created = Stored::create(settings, self.data.clone(), now_ms).await?;
        // As long as the old id may be worth something, nobody is told the new one.
        settings.engine.delete(&old).await?;
        self.adopt(created);
        Ok(())
    }

    /// Makes the changes to what is stored.
    async fn store(&mut self, settings: &Settings, now_ms: i64) -> Result<(), SessionError> {
        let Some(Stored { id, loaded }) = &mut self.stored else { return Ok(()) };
        let (changes, end) = (&self.changes, settings.end(now_ms));
        match settings.engine.save(&id.stored_as(), loaded, changes, end, now_ms).await {
            Ok(true) => {
                self.data = loaded.record.data.clone();
                self.cookie = CookieChange::Set(id.clone());
            }
            Ok(false) => {
                tracing::debug!("a session was deleted while a request was changing it");
                (self.stored, self.data) = (None, Data::new());
            }
            Err(error) if changes.is_empty() => {
                // It was to live longer only: the next request can see to that.
                tracing::debug!(%error, "a session could not be renewed");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Neither values nor ids: sessions hold secrets.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("touched", &self.is_touched()).finish_non_exhaustive()
    }
}

fn wrong(key: &str, source: serde_json::Error) -> SessionError {
    SessionError::Value { key: key.to_owned(), source }
}
