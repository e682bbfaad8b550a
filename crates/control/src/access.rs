//! How an application reaches its cache: servers, username and password, in the form that it takes.
//!
//! What must stay true: what [`Form::Env`] writes may be given to `eval` whatever the values hold, and
//! the snippets run as they are.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A form of the variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines for a shell, to be given to `eval`.
    Env,
    /// One JSON object of the variables.
    Json,
    /// A `heroku config:set` line.
    Heroku,
    /// For Django's `settings.py`: django-bmemcached, or pylibmc.
    Django,
    /// For Flask: pylibmc, a connection for each thread.
    Flask,
    /// For Node.js: memjs.
    Node,
    /// For Rust: the framework of this project.
    Rust,
}

impl Form {
    /// All forms.
    pub const ALL: [Form; 7] =
        [Form::Env, Form::Json, Form::Heroku, Form::Django, Form::Flask, Form::Node, Form::Rust];

    /// As it is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Form::Env => "env",
            Form::Json => "json",
            Form::Heroku => "heroku",
            Form::Django => "django",
            Form::Flask => "flask",
            Form::Node => "node",
            Form::Rust => "rust",
        }
    }

    /// What it is for, in a line.
    #[must_use]
    pub fn purpose(self) -> &'static str {
        match self {
            Form::Env => "Lines for a shell: eval \"$(larder provision …)\"",
            Form::Json => "One JSON object of the variables",
            Form::Heroku => "A heroku config:set line",
            Form::Django => "For Django's settings.py: django-bmemcached, or pylibmc",
            Form::Flask => "For Flask: pylibmc, a connection for each thread",
            Form::Node => "For Node.js: memjs",
            Form::Rust => "For Rust: the framework of this project",
        }
    }
}

/// What an application needs to know.
#[derive(Clone)]
pub struct Access {
    /// `host:port` of each server.
    pub servers: Vec<String>,
    /// Who it says it is.
    pub username: String,
    /// None: it was shown when it was made, and nobody knows it any more.
    pub password: Option<String>,
}

/// Never shows the password.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, username, .. } = self;
        let mut shown = f.debug_struct("Access");
        shown.field("servers", servers).field("username", username).finish_non_exhaustive()
    }
}

impl Access {
    /// The variables, each with its value.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for family in ["MEMCACHIER", "MEMCACHE"] {
            all.push((format!("{family}_SERVERS"), self.servers.join(",")));
            all.push((format!("{family}_USERNAME"), self.username.clone()));
            if let Some(password) = &self.password {
                all.push((format!("{family}_PASSWORD"), password.clone()));
            }
        }
        all.extend(self.url().map(|url| ("LARDER_URL".to_owned(), url)));
        all
    }

    /// `memcached://user:password@host:port,host:port/`.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let password = percent_encoded(self.password.as_ref()?);
        let (user, servers) = (percent_encoded(&self.username), self.servers.join(","));
        Some(format!("memcached://{user}:{password}@{servers}/"))
    }

    /// In one of the forms, to be printed as it is.
    #[must_use]
    pub fn text(&self, form: Form) -> String {
        match form {
            Form::Env => self.lines(|name, value| format!("export {name}={}\n", quoted(value))),
            Form::Json => {
                let object: serde_json::Map<_, _> = self
                    .variables()
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect();
                format!("{:#}\n", serde_json::Value::from(object))
            }
            Form::Heroku => {
                let all = self.variables();
                let three = all.iter().filter(|(name, _)| name.starts_with("MEMCACHIER_"));
                let words: String =
                    three.map(|(name, value)| format!(" {name}={}", quoted(value))).collect();
                format!("heroku config:set{words}\n")
            }
            Form::Django => self.python() + DJANGO,
            Form::Flask => self.python() + FLASK,
            Form::Node => {
                let line = |name: &str, value: &str| format!("process.env.{name} ??= {value:?};\n");
                format!("{NODE_NOTE}{}{NODE}", self.three(line))
            }
            Form::Rust => {
                let url = self.url().unwrap_or_else(|| "…".to_owned());
                format!("// In the environment: LARDER_URL={}\n{RUST}", quoted(&url))
            }
        }
    }

    fn lines(&self, line: impl Fn(&str, &str) -> String) -> String {
        self.variables().iter().map(|(name, value)| line(name, value)).collect()
    }

    /// A line for each of the three variables that libraries know.
    fn three(&self, line: impl Fn(&str, &str) -> String) -> String {
        let all = self.variables();
        let three = all.iter().filter(|(name, _)| name.starts_with("MEMCACHIER_"));
        three.map(|(name, value)| line(name, value)).collect()
    }

    fn python(&self) -> String {
        let line =
            |name: &str, value: &str| format!("os.environ.setdefault({name:?}, {value:?})\n");
        format!("{PYTHON_NOTE}{}\n", self.three(line))
    }
}

const PYTHON_NOTE: &str = "\
# Better in the environment of the application than in a repository:
import os
";

const DJANGO: &str = r#"CACHES = {
    "default": {
        # pip install django-bmemcached
        "BACKEND": "django_bmemcached.memcached.BMemcached",
        "LOCATION": os.environ["MEMCACHIER_SERVERS"],
        "TIMEOUT": None,  # keys live until they are deleted or evicted
        "OPTIONS": {
            "username": os.environ["MEMCACHIER_USERNAME"],
            "password": os.environ["MEMCACHIER_PASSWORD"],
        },
        # With pylibmc, which is faster (pip install pylibmc):
        # "BACKEND": "django.core.cache.backends.memcached.PyLibMCCache",
        # and in OPTIONS, beside username and password:
        # "binary": True, "behaviors": {"tcp_nodelay": True, "ketama": True},
    }
}
"#;

const FLASK: &str = r#"# pip install pylibmc
import pylibmc

cache = pylibmc.ThreadMappedPool(pylibmc.Client(
    os.environ["MEMCACHIER_SERVERS"].split(","),
    binary=True,
    username=os.environ["MEMCACHIER_USERNAME"],
    password=os.environ["MEMCACHIER_PASSWORD"],
    behaviors={"tcp_nodelay": True, "ketama": True},
))
# In a view:
# with cache.reserve() as client:
#     client.set("greeting", "hello", time=60)
#     client.get("greeting")
"#;

const NODE_NOTE: &str = "// Better in the environment of the application than in a repository:\n";

const NODE: &str = r#"
// npm install memjs
const memjs = require('memjs');
const cache = memjs.Client.create(process.env.MEMCACHIER_SERVERS, {
  username: process.env.MEMCACHIER_USERNAME,
  password: process.env.MEMCACHIER_PASSWORD,
  failover: true,
  timeout: 1,
  keepAlive: true,
});
"#;

const RUST: &str = "let cache = larder::Cache::from_env()?;\n";

/// A word that a POSIX shell reads as `text`.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:,@%+=-".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// As a part of a URL: all but what RFC 3986 calls unreserved is percent-encoded.
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn access(password: &str) -> Access {
        Access {
            servers: vec!["mc1:11211".into(), "[::1]:11212".into()],
            username: "15f38e".into(),
            password: Some(password.into()),
        }
    }

    #[test]
    fn a_shell_reads_every_value_as_it_is() {
        let password = "it's $HOME `id` \"x\" \\ \n*";
        let script = access(password).text(Form::Env) + "printf %s \"$MEMCACHIER_PASSWORD\"";
        let output = std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), password);
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("memcached://a:b@c:1,d:2/"), "memcached://a:b@c:1,d:2/");
    }

    #[test]
    fn nothing_secret_is_printed() {
        assert!(!format!("{:?}", access("s3cret")).contains("s3cret"));
    }

    #[test]
    fn every_form_has_a_name_of_its_own() {
        for (at, form) in Form::ALL.into_iter().enumerate() {
            assert!(Form::ALL[..at].iter().all(|other| other.name() != form.name()));
            assert!(access("s").text(form).ends_with('\n'), "{form:?}");
        }
    }

    #[test]
    fn json_has_every_variable() {
        let json: serde_json::Value = serde_json::from_str(&access("s").text(Form::Json)).unwrap();
        for (name, value) in access("s").variables() {
            assert_eq!(json[&name], value, "{name}");
        }
        assert_eq!(json.as_object().unwrap().len(), 7);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let access = Access { password: None, ..access("") };
        let text = access.text(Form::Env);
        assert!(!text.contains("PASSWORD") && !text.contains("LARDER_URL"), "{text}");
        assert!(text.contains("export MEMCACHIER_USERNAME=15f38e\n"), "{text}");
    }

    #[test]
    fn one_line_sets_the_variables_of_an_app() {
        let line = access("s").text(Form::Heroku);
        assert!(line.starts_with("heroku config:set MEMCACHIER_SERVERS='mc1:11211,[::1]:11212' "));
        assert_eq!((line.lines().count(), line.matches('=').count()), (1, 3));
    }
}
