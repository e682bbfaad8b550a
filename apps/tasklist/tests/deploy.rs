//! What is shipped for deployment agrees with the code: every variable is documented with its
//! default, and the files name no variable or command that does not exist.

use std::path::PathBuf;

use tasklist::config::{Config, VARIABLES};

fn read(path: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_variable_is_documented_with_its_default() {
    let guide = read("docs/deploy.md");
    for variable in VARIABLES {
        let row = format!("| `{}` | `{}`", variable.name, variable.default);
        assert!(guide.contains(&row), "docs/deploy.md lacks the row {row}");
    }
}

#[test]
fn no_document_names_a_variable_that_does_not_exist() {
    let paths = [
        "README.md",
        "docs/tutorial.md",
        "docs/deploy.md",
        "deploy/app.json",
        "deploy/tasklist.service",
        "deploy/Procfile",
    ];
    for path in paths {
        let text = read(path);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in
            words.filter(|word| word.strip_prefix("TASKLIST_").is_some_and(|rest| !rest.is_empty()))
        {
            assert!(VARIABLES.iter().any(|variable| variable.name == word), "{path}: {word}");
        }
    }
}

#[test]
fn the_values_of_app_json_are_valid() {
    let app: serde_json::Value = serde_json::from_str(&read("deploy/app.json")).unwrap();
    let env = app["env"].as_object().unwrap();
    let vars =
        env.iter().map(|(name, entry)| (name.into(), entry["value"].as_str().unwrap().into()));
    Config::from_vars(vars).unwrap();
}

#[test]
fn the_service_outlives_the_grace_for_requests() {
    let unit = read("deploy/tasklist.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(stop.parse::<u64>().unwrap() > 2 * tasklist::shutdown::GRACE.as_secs());
}
