//! Relative links in Markdown lead to files that exist.

use super::File;

/// The links of `file` whose target, a path relative to the repository, does not exist.
pub(super) fn broken(file: &File, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let dir = file.path.rsplit_once('/').map_or("", |(dir, _)| dir);
    targets(&file.text)
        .into_iter()
        .filter(|target| !leads_elsewhere(target))
        .filter(|target| {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            !resolve(dir, path).is_some_and(|path| path.is_empty() || exists(&path))
        })
        .map(|target| format!("{}: link to {target}, which does not exist", file.path))
        .collect()
}

/// Whether a link leaves the repository (`https://…`, `mailto:…`) or stays in its file (`#…`).
fn leads_elsewhere(target: &str) -> bool {
    let scheme = target.split(['/', '#', '?']).next().unwrap_or_default();
    target.starts_with('#') || scheme.contains(':')
}

/// The targets of inline links, images, reference definitions and HTML attributes, outside code.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") || trimmed.starts_with("~~~") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let prose = without_code(line);
        for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for (at, _) in prose.match_indices(opening) {
                let rest = &prose[at + opening.len()..];
                let target = rest.split(closing).next().unwrap_or_default();
                // A title may follow the target.
                targets.extend(target.split_whitespace().next().map(str::to_owned));
            }
        }
        if let Some((_, definition)) =
            prose.strip_prefix('[').and_then(|rest| rest.split_once("]: "))
        {
            targets.extend(definition.split_whitespace().next().map(str::to_owned));
        }
    }
    targets
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// `path` seen from `dir`, or `None` if it leaves the repository. A path from `/` is seen from the
/// repository's root, as code hosts see it.
fn resolve(dir: &str, path: &str) -> Option<String> {
    let (dir, path) = match path.strip_prefix('/') {
        Some(path) => ("", path),
        None => (dir, path),
    };
    let mut parts: Vec<&str> = dir.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> usize {
        let file = File { path: "docs/deploy.md".into(), text: text.into() };
        broken(&file, |path| ["README.md", "docs/tutorial.md", "docs/shot.png"].contains(&path))
            .len()
    }

    #[test]
    fn a_link_to_a_missing_file_is_found_in_every_form() {
        for text in [
            "[a](missing.md)",
            "[a](../docs/missing.md#part)",
            "![a](missing.png \"title\")",
            "<img src=\"missing.png\" alt=\"\">",
            "<a href=\"missing.md\">",
            "[a]: missing.md",
            "[a](../../outside.md)",
            "[a](tutorial.md) [b](missing.md)",
        ] {
            assert_eq!(check(text), 1, "{text}");
        }
    }

    #[test]
    fn links_that_lead_somewhere_and_links_in_code_are_fine() {
        for text in [
            "[a](tutorial.md)",
            "[a](../README.md#use)",
            "[a](/README.md)",
            "![a](shot.png)",
            "[a](https://example.org/x.md) [m](mailto:a@example.org)",
            "[a](#part)",
            "`[a](missing.md)`",
            "```md\n[a](missing.md)\n```",
        ] {
            assert_eq!(check(text), 0, "{text}");
        }
    }
}
