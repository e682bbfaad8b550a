//! The shapes of bodies and answers, as a table.
//!
//! A field's type is `string`, `integer`, `number`, `boolean`, `size` (of a body: bytes, or text with a
//! unit), the name of another shape, `[T]` for a list or `{T}` for a map; `?` after it: or null. `?`
//! after a field's name: it may be absent. A test holds every answer against these.

use larder_tenancy::Figures;
use serde_json::{Map, Value, json};

type Fields = &'static [(&'static str, &'static str)];

#[rustfmt::skip]
const SHAPES: &[(&str, Fields)] = &[
    ("Problem", &[("error", "ProblemText")]),
    ("ProblemText", &[("code", "string"), ("message", "string")]),
    ("Done", &[("waiting_for", "[string]")]),
    // Who asks.
    ("Me", &[("kind", "string"), ("name", "string"), ("tenant", "string?"), ("capabilities", "[string]"), ("key_prefix", "string?")]),
    ("SignIn", &[("user", "string"), ("password", "string")]),
    ("Password", &[("password", "string")]),
    ("Sessions", &[("sessions", "[Session]")]),
    ("Session", &[("id", "string"), ("created", "integer"), ("seen", "integer"), ("from", "string"), ("user_agent", "string"), ("is_current", "boolean")]),
    ("NewToken", &[("note?", "string"), ("expires?", "integer?")]),
    ("Tokens", &[("tokens", "[Token]")]),
    ("Token", &[("id", "string"), ("note", "string"), ("created", "integer"), ("expires", "integer?"), ("last_used", "integer?")]),
    ("TokenSecret", &[("token", "string")]),
    // The fleet.
    ("Nodes", &[("nodes", "[Node]"), ("this", "NodeFacts")]),
    ("Node", &[("id", "string"), ("name", "string"), ("is_this", "boolean"), ("servers", "[string]"), ("console_url", "string?"), ("memory_bytes", "integer"), ("started", "integer"), ("seen", "integer"), ("version", "integer"), ("is_live", "boolean")]),
    ("NodeFacts", &[("name", "string"), ("started", "integer"), ("directory_version", "integer"), ("memory_bytes", "integer"), ("used_bytes", "integer"), ("max_item_bytes", "integer"), ("workers", "integer"), ("connections", "integer"), ("max_connections", "integer"), ("rejected_connections", "integer"), ("buffer_bytes", "integer"), ("max_buffer_bytes", "integer"), ("listening", "[string]"), ("software", "string"), ("latency", "Latency")]),
    ("Audit", &[("entries", "[AuditEntry]"), ("next", "integer?")]),
    ("AuditEntry", &[("id", "integer"), ("at", "integer"), ("who", "string"), ("from", "string"), ("tenant", "string?"), ("action", "string"), ("detail", "string")]),
    // Caches.
    ("Tenants", &[("tenants", "[TenantRow]"), ("capacity", "Capacity"), ("total", "Figures")]),
    ("Tenant", &[("id", "integer"), ("name", "string"), ("floor", "integer"), ("ceiling", "integer"), ("labels", "{string}"), ("created", "integer"), ("flushes", "integer"), ("primary", "string")]),
    ("TenantRow", &[("id", "integer"), ("name", "string"), ("floor", "integer"), ("ceiling", "integer"), ("labels", "{string}"), ("created", "integer"), ("flushes", "integer"), ("primary", "string"), ("figures", "Figures")]),
    ("Capacity", &[("memory_bytes", "integer?"), ("floors", "integer"), ("free", "integer?")]),
    ("NewTenant", &[("name", "string"), ("memory?", "size"), ("floor?", "size"), ("ceiling?", "size"), ("labels?", "{string}")]),
    ("TenantPatch", &[("memory?", "size"), ("floor?", "size"), ("ceiling?", "size"), ("labels?", "{string}")]),
    ("TenantMade", &[("tenant", "Tenant"), ("credential", "Secret"), ("waiting_for", "[string]")]),
    // How they are doing.
    ("Stats", &[("at", "integer"), ("figures", "Figures"), ("hit_rates", "HitRates"), ("memory_used", "number?"), ("latency", "Latency")]),
    ("Live", &[("at", "integer"), ("figures", "Figures"), ("rates", "Figures"), ("hit_rates", "HitRates"), ("memory_used", "number?"), ("p50_ns", "integer?"), ("p99_ns", "integer?")]),
    ("HitRates", &[("now", "HitRate"), ("hour", "HitRate"), ("day", "HitRate"), ("week", "HitRate")]),
    ("HitRate", &[("rate", "number?"), ("grade", "string")]),
    ("Latency", &[("count", "integer"), ("p50_ns", "integer?"), ("p99_ns", "integer?"), ("p999_ns", "integer?"), ("buckets", "[LatencyBucket]")]),
    ("LatencyBucket", &[("below_ns", "integer"), ("count", "integer")]),
    ("History", &[("span", "string"), ("step", "integer"), ("at", "[integer]"), ("seconds", "[integer]"), ("series", "{[number?]}")]),
    // What clients do.
    ("Keys", &[("since", "integer"), ("share", "number"), ("keys", "[KeyUse]")]),
    ("KeyUse", &[("key", "string"), ("key_base64?", "string"), ("hits", "integer"), ("misses", "integer"), ("sets", "integer"), ("deletes", "integer"), ("bytes", "integer"), ("per_minute", "integer")]),
    ("Prefixes", &[("since", "integer"), ("share", "number"), ("missed", "Missed"), ("prefixes", "[PrefixUse]")]),
    ("PrefixUse", &[("pattern", "string"), ("hits", "integer"), ("misses", "integer"), ("sets", "integer"), ("deletes", "integer"), ("bytes_set", "integer"), ("per_minute", "integer"), ("evicted_unread", "integer"), ("missed", "Missed"), ("never_hits", "boolean")]),
    ("Missed", &[("never_set", "integer"), ("expired", "integer"), ("evicted", "integer"), ("deleted", "integer"), ("flushed", "integer")]),
    ("Recent", &[("share", "number"), ("commands", "[Command]")]),
    ("Command", &[("unix_ms", "integer"), ("command", "string"), ("key", "string"), ("key_base64?", "string"), ("found", "boolean"), ("bytes", "integer")]),
    ("Item", &[("key", "string"), ("key_base64?", "string"), ("value_bytes", "integer"), ("bytes", "integer"), ("flags", "integer"), ("cas", "integer"), ("ttl_seconds", "number?"), ("idle_seconds", "number"), ("fetched", "boolean"), ("value", "Value?")]),
    ("Value", &[("text", "string?"), ("base64", "string?"), ("is_cut", "boolean")]),
    // Credentials.
    ("Credentials", &[("credentials", "[Credential]")]),
    ("Credential", &[("username", "string"), ("capabilities", "[string]"), ("is_primary", "boolean"), ("key_prefix", "string?"), ("expires", "integer?"), ("has_expired", "boolean"), ("note", "string"), ("is_chosen", "boolean"), ("created", "integer"), ("last_used", "integer?")]),
    ("NewCredential", &[("capabilities?", "[string]"), ("key_prefix?", "string?"), ("expires?", "integer?"), ("note?", "string"), ("username?", "string?"), ("password?", "string?")]),
    ("CredentialPatch", &[("capabilities?", "[string]"), ("key_prefix?", "string?"), ("expires?", "integer?"), ("note?", "string")]),
    ("CredentialMade", &[("credential", "Secret"), ("waiting_for", "[string]")]),
    ("Secret", &[("username", "string"), ("password", "string"), ("variables", "{string}")]),
    // Alerts.
    ("Alerts", &[("alerts", "[Alert]")]),
    ("Alert", &[("id", "integer"), ("kind", "string"), ("threshold", "integer?"), ("for_minutes", "integer"), ("webhook", "string?"), ("enabled", "boolean"), ("state", "AlertState")]),
    ("AlertState", &[("name", "string"), ("since", "integer?")]),
    ("NewAlert", &[("kind", "string"), ("threshold?", "integer?"), ("for_minutes?", "integer"), ("webhook?", "string?"), ("enabled?", "boolean")]),
    ("AlertPatch", &[("kind?", "string"), ("threshold?", "integer?"), ("for_minutes?", "integer"), ("webhook?", "string?"), ("enabled?", "boolean")]),
    ("AlertTest", &[("delivered", "boolean"), ("status", "integer?"), ("said", "string")]),
];

/// All shapes as JSON schemas, by name.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    for (name, fields) in SHAPES {
        schemas.insert((*name).to_owned(), object(fields.iter().copied()));
    }
    let figures = Figures::default();
    let counted = figures.fields().map(|(name, ..)| (name, "integer"));
    let derived = [("gets", "integer"), ("hit_rate", "number?")];
    schemas.insert("Figures".to_owned(), object(counted.chain(derived)));
    schemas
}

fn object<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, of) in fields {
        match name.strip_suffix('?') {
            Some(name) => properties.insert(name.to_owned(), schema(of)),
            None => {
                required.push(name);
                properties.insert(name.to_owned(), schema(of))
            }
        };
    }
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn schema(of: &str) -> Value {
    if let Some(of) = of.strip_suffix('?') {
        return match schema(of) {
            plain
                if plain["type"].is_string()
                    && plain.as_object().is_some_and(|it| it.len() == 1) =>
            {
                json!({ "type": [plain["type"], "null"] })
            }
            other => json!({ "anyOf": [other, { "type": "null" }] }),
        };
    }
    let inner = |open, close| of.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    if let Some(of) = inner('[', ']') {
        return json!({ "type": "array", "items": schema(of) });
    }
    if let Some(of) = inner('{', '}') {
        return json!({ "type": "object", "additionalProperties": schema(of) });
    }
    match of {
        "size" => json!({ "type": ["integer", "string"], "examples": [26_214_400, "25m"] }),
        "string" | "integer" | "number" | "boolean" => json!({ "type": of }),
        name => json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}
