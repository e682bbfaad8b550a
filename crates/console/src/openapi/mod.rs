//! The OpenAPI document of the API, made from the table of routes and the shapes of what goes in and
//! comes out.

mod shapes;

use axum::Json;
use http::{Method, StatusCode};
use larder_control::Need;
use serde_json::{Map, Value, json};

use crate::routes::{self, JSON, Route};

/// `/api/v1/openapi.json`.
pub(crate) fn document() -> Json<Value> {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes::table().iter().filter(|route| route.is_api()) {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    Json(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Larder",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
        },
        "paths": paths,
        "components": {
            "schemas": shapes::schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "password": { "type": "http", "scheme": "basic" },
                "session": { "type": "apiKey", "in": "cookie", "name": "larder" },
            },
        },
    }))
}

const DESCRIPTION: &str = "Caches, their credentials, and how they are doing. Times are seconds since \
    1970, sizes are bytes; a size that is sent may also be text such as \"25m\". A cache that is not \
    one's own answers as one that does not exist. What PATCH is not given stays as it is.";

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": name(route),
        "summary": route.summary,
        "description": need(route.need),
        "responses": responses(route),
    });
    let parameters = parameters(route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(shape) = route.body {
        operation["requestBody"] = json!({ "required": true, "content": content(shape, JSON) });
    }
    if route.need.is_some() {
        operation["security"] = json!([{ "token": [] }, { "password": [] }, { "session": [] }]);
    }
    operation
}

/// Such as `get_tenants_t_stats`.
fn name(route: &Route) -> String {
    let path = route.path.trim_start_matches("/api/v1");
    let path = path.replace(['{', '}'], "").replace(['/', '.'], "_");
    format!("{}{path}", route.method.as_str().to_ascii_lowercase())
}

fn need(need: Option<Need>) -> &'static str {
    match need {
        None => "Anybody may ask.",
        Some(Need::SignedIn) => "Whoever is signed in may ask.",
        Some(Need::View) => "Needs the capability read and no key prefix, or an operator.",
        Some(Need::Flush) => "Needs the capability flush and no key prefix, or an operator.",
        Some(Need::Admin) => "Needs the capability admin and no key prefix, or an operator.",
        Some(Need::Operator) => "Needs an operator.",
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let named = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let path = named.map(|name| {
        let about = match name {
            "t" => "the name of the cache",
            "u" => "the username of the credential",
            _ => "its number",
        };
        parameter(name, "path", about)
    });
    let query = route.query.iter().map(|(name, about)| parameter(name, "query", about));
    path.chain(query).collect()
}

fn parameter(name: &str, place: &str, about: &str) -> Value {
    json!({
        "name": name,
        "in": place,
        "description": about,
        "required": place == "path",
        "schema": { "type": "string" },
    })
}

fn responses(route: &Route) -> Value {
    let (status, shape) = route.reply;
    let mut responses = Map::new();
    let good = match shape {
        Some(shape) => json!({ "description": "Done", "content": content(shape, route.media) }),
        None => json!({ "description": "Done" }),
    };
    responses.insert(status.as_u16().to_string(), good);
    let mut problem = |status: StatusCode, about: &str| {
        let answer = json!({ "description": about, "content": content("Problem", JSON) });
        responses.insert(status.as_u16().to_string(), answer);
    };
    if route.body.is_some() || !route.query.is_empty() {
        problem(StatusCode::BAD_REQUEST, "What was asked is not as it should be");
    }
    if route.need.is_some() || route.path == "/metrics" {
        problem(StatusCode::UNAUTHORIZED, "Nobody is signed in");
        problem(StatusCode::FORBIDDEN, "Who asks may not do that");
    }
    if route.path.contains('{') {
        problem(StatusCode::NOT_FOUND, "There is none of this name, or none that is yours to see");
    }
    if route.method != Method::GET && route.need.is_some() {
        problem(StatusCode::CONFLICT, "It cannot be done as things are");
    }
    problem(StatusCode::SERVICE_UNAVAILABLE, "It cannot be done now");
    responses.into()
}

fn content(shape: &str, media: &str) -> Value {
    let reference = format!("#/components/schemas/{shape}");
    json!({ media: { "schema": { "$ref": reference } } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_shape_that_is_named_is_there_and_every_one_is_used() {
        let document = document().0;
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut named = BTreeSet::new();
        for part in text.split("#/components/schemas/").skip(1) {
            named.insert(part.split('"').next().unwrap());
        }
        let there: BTreeSet<_> = schemas.keys().map(String::as_str).collect();
        assert_eq!(named, there);
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let table = routes::table();
        let names: BTreeSet<_> = table.iter().filter(|route| route.is_api()).map(name).collect();
        assert_eq!(names.len(), table.iter().filter(|route| route.is_api()).count());
        assert!(names.contains("get_tenants_t_stats"), "{names:?}");
    }
}
