//! The auth file: users and their passwords, a line each, for a server without accounts.
//!
//! The lines are memcached's, `user:password`, and there may be any number of them (memcached keeps
//! the first eight and drops the rest without a word). As in memcached there are no comments: a line
//! that begins with `#` is a user's. A line ends with a line feed, with or without a carriage return
//! before it; the last one may lack it. Empty lines are skipped. The username is what comes before the
//! first `:`.
//!
//! What comes after it depends on the [`Layout`]. In memcached's own it is the password, up to the end
//! of the line, whatever is in it. In that of its SASL file one `:` at the end of the line is not part of
//! it. (memcached would also take the password up to any other `:` in it for right; we do not.) In ours a
//! second `:` may follow, and then what comes after the *last* `:` names the user's tenant, and nothing
//! else; left empty, as absent, it is `default`. So a password may have a `:` in it if the line goes on
//! with a `:` after it, and no line can be read in two ways.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::credential::{Credential, Digest, Salt};
use crate::directory::Directory;
use crate::tenant::{Tenant, TenantId, TenantLimits, TenantName};

/// What the fields of a line are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `user:password`; a further `:` is part of the password.
    Memcached,
    /// `user:password` or `user:password:`; a `:` between is part of the password.
    Sasl,
    /// `user:password` or `user:password:tenant`.
    Tenants,
}

/// The users of an auth file, their passwords as digests.
#[derive(Debug, Clone)]
pub struct AuthFile {
    users: Vec<User>,
}

#[derive(Debug, Clone)]
struct User {
    username: Arc<[u8]>,
    digest: Digest,
    tenant: TenantName,
}

impl AuthFile {
    /// Reads the text of a file. A password has the same digest as before if the salt is the same, so a
    /// process keeps one: by that an open connection is known to be still welcome.
    ///
    /// # Errors
    ///
    /// [`AuthFileError`] for the first line that is none, and for a file without any.
    pub fn parse(text: &[u8], layout: Layout, salt: Salt) -> Result<Self, AuthFileError> {
        let mut first_at = HashMap::new();
        let mut users = Vec::new();
        for (line, number) in text.split(|&byte| byte == b'\n').zip(1..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let fail = |fault| AuthFileError { line: number, fault };
            let user = User::parse(line, layout, salt).map_err(fail)?;
            if let Some(first) = first_at.insert(user.username.clone(), number) {
                return Err(fail(Fault::Twice { first }));
            }
            users.push(user);
        }
        if users.is_empty() {
            return Err(AuthFileError { line: 1, fault: Fault::Nobody });
        }
        Ok(Self { users })
    }

    /// The directory that follows `previous` and has this file's users, who may do what
    /// `capabilities` say, in tenants without limits of their own.
    ///
    /// A tenant keeps the id that it has in `previous`. One that was not there gets an id above all of
    /// them; the tenants of `previous` stay, with or without users, so that no id is given twice.
    #[must_use]
    pub fn directory(&self, previous: &Directory, capabilities: Capabilities) -> Directory {
        let mut tenants: BTreeMap<_, _> =
            previous.tenants().map(|tenant| (tenant.id, tenant.clone())).collect();
        let mut ids: HashMap<_, _> =
            tenants.values().map(|tenant| (tenant.name.clone(), tenant.id)).collect();
        let mut last = tenants.keys().next_back().map_or(0, |id| id.get());
        let credentials: Vec<_> = self
            .users
            .iter()
            .map(|user| {
                let name = &user.tenant;
                let id = *ids.entry(name.clone()).or_insert_with(|| {
                    let tenant = new_tenant(name, &mut last);
                    tenants.entry(tenant.id).or_insert(tenant).id
                });
                user.credential(id, capabilities)
            })
            .collect();
        Directory::of_parts(previous.version() + 1, tenants, credentials)
    }

    /// How many users there are.
    #[must_use]
    pub fn users(&self) -> usize {
        self.users.len()
    }
}

impl User {
    fn parse(line: &[u8], layout: Layout, salt: Salt) -> Result<Self, Fault> {
        let first = line.iter().position(|&byte| byte == b':').ok_or(Fault::NoColon)?;
        let (username, rest) = (&line[..first], &line[first + 1..]);
        let (password, tenant) = match (layout, rest.iter().rposition(|&byte| byte == b':')) {
            (Layout::Sasl, _) => (rest.strip_suffix(b":").unwrap_or(rest), &b""[..]),
            (Layout::Tenants, Some(last)) => (&rest[..last], &rest[last + 1..]),
            (Layout::Memcached | Layout::Tenants, _) => (rest, &b""[..]),
        };
        if username.is_empty() {
            return Err(Fault::NoUsername);
        }
        if password.is_empty() {
            return Err(Fault::NoPassword);
        }
        let tenant = if tenant.is_empty() {
            TenantName::default()
        } else {
            let name = std::str::from_utf8(tenant).map_err(|_| Fault::Tenant)?;
            TenantName::new(name).map_err(|_| Fault::Tenant)?
        };
        Ok(Self { username: username.into(), digest: Digest::sha256(salt, password), tenant })
    }

    fn credential(&self, tenant: TenantId, capabilities: Capabilities) -> Credential {
        Credential {
            username: self.username.clone(),
            digest: self.digest.clone(),
            tenant,
            capabilities,
            key_prefix: None,
            expires: None,
        }
    }
}

/// A tenant that was not there before; `last` is the highest id so far.
fn new_tenant(name: &TenantName, last: &mut u32) -> Tenant {
    if *name == TenantName::default() {
        return Tenant::shared();
    }
    *last += 1;
    Tenant { id: TenantId::new(*last), name: name.clone(), limits: TenantLimits::NONE, flushes: 0 }
}

/// A line that cannot be read. It is never repeated, for there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct AuthFileError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line of an auth file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not two fields.
    #[error("there is no ':'; write user:password")]
    NoColon,
    /// Nothing before the first `:`.
    #[error("the username before the ':' is empty")]
    NoUsername,
    /// Nothing after it.
    #[error("the password is empty; write user:password")]
    NoPassword,
    /// What follows the last `:` is no tenant's name.
    #[error(
        "what follows the last ':' names the tenant, 1 to 63 of a-z, 0-9, '-' and '_'; after a \
         password with a ':' in it, write another ':'"
    )]
    Tenant,
    /// The user is there already.
    #[error("the user of line {first} is here again; one line each")]
    Twice {
        /// The line where the user was first.
        first: usize,
    },
    /// A file without users, which would let nobody in.
    #[error("there is no user in the file; write user:password, a line each")]
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::AuthError;

    fn parse(text: &str, layout: Layout) -> Result<AuthFile, AuthFileError> {
        AuthFile::parse(text.as_bytes(), layout, Salt::random().unwrap())
    }

    fn first(text: &str, layout: Layout) -> Directory {
        parse(text, layout).unwrap().directory(&Directory::default(), Capabilities::USE)
    }

    /// The tenant that this user and password open.
    fn opens(directory: &Directory, user: &str, password: &str) -> Result<String, AuthError> {
        let grant = directory.authenticate(user.as_bytes(), password.as_bytes(), 0)?;
        Ok(directory.tenant(grant.tenant()).unwrap().name.to_string())
    }

    #[test]
    fn memcacheds_files_are_read_as_memcached_does() {
        use Layout::Memcached;
        for text in ["foo:bar\n#baz:p w\n", "foo:bar\n#baz:p w", "foo:bar\r\n\r\n#baz:p w\r\n"] {
            let directory = first(text, Memcached);
            assert_eq!(opens(&directory, "foo", "bar").unwrap(), "default");
            assert_eq!(opens(&directory, "#baz", "p w").unwrap(), "default");
            assert_eq!(opens(&directory, "baz", "p w"), Err(AuthError::Refused));
            assert_eq!(opens(&directory, "foo", "bar\r"), Err(AuthError::Refused));
            assert!(directory.anonymous().is_none());
        }
        let directory = first("foo:a:b:shop\nbar::\n", Memcached);
        assert_eq!(opens(&directory, "foo", "a:b:shop").unwrap(), "default");
        assert_eq!(opens(&directory, "bar", ":").unwrap(), "default");
        assert_eq!(opens(&directory, "foo", "a"), Err(AuthError::Refused));
    }

    #[test]
    fn a_sasl_file_may_end_its_lines_with_a_colon() {
        let directory = first("a:p:\nb:p\nc:p:q\nd:p::\n", Layout::Sasl);
        for (user, password) in [("a", "p"), ("b", "p"), ("c", "p:q"), ("d", "p:")] {
            assert_eq!(opens(&directory, user, password).as_deref(), Ok("default"), "{user}");
        }
        for (user, password) in [("a", "p:"), ("c", "p"), ("c", "q"), ("d", "p")] {
            assert_eq!(opens(&directory, user, password), Err(AuthError::Refused), "{user}");
        }
        assert_eq!(parse("a::", Layout::Sasl).unwrap_err().fault, Fault::NoPassword);
    }

    #[test]
    fn more_than_eight_users_are_users() {
        let text: String = (0..1000).map(|n| format!("u{n}:p{n}\n")).collect();
        let directory = first(&text, Layout::Memcached);
        assert_eq!(directory.credentials().count(), 1000);
        assert_eq!(opens(&directory, "u999", "p999").unwrap(), "default");
    }

    #[test]
    fn what_follows_the_last_colon_is_the_tenant() {
        let text = "a:p\nb:p:shop\nc:p:\nd:x:y:shop\ne:x:y:\nf:::\ng:p:default";
        let directory = first(text, Layout::Tenants);
        for (user, password, tenant) in [
            ("a", "p", "default"),
            ("b", "p", "shop"),
            ("c", "p", "default"),
            ("d", "x:y", "shop"),
            ("e", "x:y", "default"),
            ("f", ":", "default"),
            ("g", "p", "default"),
        ] {
            assert_eq!(opens(&directory, user, password).as_deref(), Ok(tenant), "{user}");
        }
        assert_eq!(opens(&directory, "b", "p:shop"), Err(AuthError::Refused));
        let names: Vec<_> = directory.tenants().map(|tenant| tenant.name.as_str()).collect();
        assert_eq!(names, ["default", "shop"]);
    }

    #[test]
    fn faults_name_the_line_and_not_the_password() {
        use Layout::{Memcached, Tenants};
        for (text, layout, line, fault) in [
            ("a:s3cret\ns3cret\n", Memcached, 2, Fault::NoColon),
            ("a:x\n\n:s3cret\n", Memcached, 3, Fault::NoUsername),
            ("s3cret:\n", Memcached, 1, Fault::NoPassword),
            ("s3cret::\n", Tenants, 1, Fault::NoPassword),
            ("s3cret::shop\n", Tenants, 1, Fault::NoPassword),
            ("a:x:s3cret pass", Tenants, 1, Fault::Tenant),
            ("a:x:S3cret", Tenants, 1, Fault::Tenant),
            ("a:x\nb:y\na:s3cret\n", Memcached, 3, Fault::Twice { first: 1 }),
            ("a:x:one\na:s3cret:two\n", Tenants, 2, Fault::Twice { first: 1 }),
            ("", Memcached, 1, Fault::Nobody),
            ("\r\n\n", Tenants, 1, Fault::Nobody),
        ] {
            let error = parse(text, layout).unwrap_err();
            assert_eq!(error, AuthFileError { line, fault }, "{text:?}");
            let told = format!("{error} {error:?}");
            assert!(!told.to_lowercase().contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn usernames_and_passwords_are_bytes() {
        let salt = Salt::random().unwrap();
        let file = AuthFile::parse(b"\xff\0:\xfe\0", Layout::Tenants, salt).unwrap();
        let directory = file.directory(&Directory::default(), Capabilities::USE);
        assert!(directory.authenticate(b"\xff\0", b"\xfe\0", 0).is_ok());
        let tenant = AuthFile::parse(b"a:b:\xff", Layout::Tenants, salt).unwrap_err();
        assert_eq!(tenant.fault, Fault::Tenant);
    }

    #[test]
    fn a_file_read_again_keeps_ids_and_connections() {
        let salt = Salt::random().unwrap();
        let read = |text: &str, previous: &Directory| {
            let file = AuthFile::parse(text.as_bytes(), Layout::Tenants, salt).unwrap();
            file.directory(previous, Capabilities::USE)
        };
        let before = read("ann:a:one\nbob:b:two\n", &Directory::default());
        let grants = [(b"ann", b"a"), (b"bob", b"b")]
            .map(|(user, password)| before.authenticate(user, password, 0).unwrap());

        let same = read("bob:b:two\nann:a:one\n", &before);
        assert_eq!(same.version(), before.version() + 1);
        assert_eq!(same.renew(&grants[0], 0).as_ref(), Some(&grants[0]));

        let without = read("ann:new:one\ncy:c:three\n", &same);
        assert_eq!(without.renew(&grants[0], 0), None, "another password");
        assert_eq!(without.renew(&grants[1], 0), None, "gone");
        let three = without.authenticate(b"cy", b"c", 0).unwrap().tenant();
        assert!(before.tenant(three).is_none(), "no id is given twice");

        let again = read("bob:b:two\ndee:d\n", &without);
        assert_eq!(again.authenticate(b"bob", b"b", 0).unwrap().tenant(), grants[1].tenant());
        assert_eq!(again.authenticate(b"dee", b"d", 0).unwrap().tenant(), TenantId::DEFAULT);
    }

    #[test]
    fn nothing_secret_is_printed() {
        let file = parse("ann:s3cret:shop", Layout::Tenants).unwrap();
        let directory = file.directory(&Directory::default(), Capabilities::USE);
        let grant = directory.authenticate(b"ann", b"s3cret", 0).unwrap();
        let printed = format!("{file:?} {directory:?} {grant:?}");
        assert!(!printed.contains("s3cret") && printed.contains("shop"), "{printed}");
    }
}
