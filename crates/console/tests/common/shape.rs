//! Holds JSON against the schemas of the OpenAPI document: as much of JSON Schema as they use.

use serde_json::Value;

/// Whether `value` is of the shape of this name; panics with the place where it is not.
#[track_caller]
pub fn hold_against(document: &Value, shape: &str, value: &Value) {
    let schema = &document["components"]["schemas"][shape];
    assert!(schema.is_object(), "there is no shape {shape}");
    if let Err(problem) = check(document, schema, value, shape) {
        panic!("{problem}\n{value:#}");
    }
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().unwrap();
        return check(document, &document["components"]["schemas"][name], value, at);
    }
    if let Some(options) = schema["anyOf"].as_array() {
        let tried: Vec<_> =
            options.iter().map(|option| check(document, option, value, at)).collect();
        return tried.into_iter().find(Result::is_ok).unwrap_or_else(|| Err(format!("{at}: none")));
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return Err(format!("{at}: a schema without a type: {schema}")),
    };
    if !kinds.iter().any(|kind| is(kind, value)) {
        return Err(format!("{at}: {value} is no {kinds:?}"));
    }
    match value {
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            check(document, &schema["items"], item, &format!("{at}[{index}]"))
        }),
        Value::Object(_) => object(document, schema, value, at),
        _ => Ok(()),
    }
}

fn object(document: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let fields = value.as_object().unwrap();
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            return Err(format!("{at}: {name} is missing"));
        }
    }
    fields.iter().try_for_each(|(name, value)| {
        let of = match &schema["properties"][name] {
            Value::Null => &schema["additionalProperties"],
            property => property,
        };
        if !of.is_object() {
            return Err(format!("{at}: {name} is not in the document"));
        }
        check(document, of, value, &format!("{at}.{name}"))
    })
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
