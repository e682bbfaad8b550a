//! Rules about the text of single files.

use super::File;

/// The most lines a source file may have, tests not counted.
const LONGEST: usize = 800;

/// Marks of unfinished work. Spelled in two parts, so that this file has none.
const LEFTOVERS: [&str; 6] = [
    concat!("to", "do!"),
    concat!("unimpl", "emented!"),
    concat!("db", "g!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[ign", "ore"),
];

/// The one crate with unsafe code.
const UNSAFE: &str = "crates/store/";

/// Unsafe code, and what lets it in. Spelled in two parts, so that this file has none.
const UNSAFE_CODE: [&str; 8] = [
    concat!("unsa", "fe {"),
    concat!("unsa", "fe fn"),
    concat!("unsa", "fe impl"),
    concat!("unsa", "fe trait"),
    concat!("unsa", "fe extern"),
    concat!("unsa", "fe("),
    concat!("allow(unsa", "fe_code"),
    concat!("expect(unsa", "fe_code"),
];

/// Directories of somebody's machine. Spelled in two parts, so that this file has none.
const LOCAL: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ho", "me/")];

/// Every Rust file begins by saying what lives in it.
pub(super) fn module_docs(file: &File) -> Option<String> {
    let missing = !file.text.starts_with("//!");
    missing.then(|| format!("{}: does not begin with `//!` documentation", file.path))
}

/// No file is too long to be read at once. Tests, in their directories or at the end of a file, are
/// not counted.
pub(super) fn length(file: &File) -> Option<String> {
    if ["tests/", "benches/"].iter().any(|dir| file.path.contains(dir)) {
        return None;
    }
    let code = file.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().count();
    (lines > LONGEST).then(|| format!("{}: {lines} lines, {LONGEST} are allowed", file.path))
}

/// Nothing is left for later, printed for debugging, or not tested for now.
pub(super) fn leftovers(file: &File) -> Vec<String> {
    find(file, &LEFTOVERS, |before, after| !is_word(before) && !is_word(after))
}

/// No crate but one has unsafe code.
pub(super) fn unsafe_code(file: &File) -> Vec<String> {
    if file.path.starts_with(UNSAFE) {
        return Vec::new();
    }
    find(file, &UNSAFE_CODE, |before, _| !is_word(before))
}

/// Nothing names a directory that exists on one machine only.
pub(super) fn local_paths(file: &File) -> Vec<String> {
    find(file, &LOCAL, |before, _| {
        !is_word(before) && !matches!(before, '.' | '-' | '~' | '}' | '>')
    })
}

/// Where one of `patterns` stands between characters that `fits` accepts (a space at either end of a
/// line).
fn find(file: &File, patterns: &[&str], fits: impl Fn(char, char) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for pattern in patterns {
            let hit = line.match_indices(pattern).any(|(at, _)| {
                let before = line[..at].chars().next_back().unwrap_or(' ');
                let after = line[at + pattern.len()..].chars().next().unwrap_or(' ');
                fits(before, after)
            });
            if hit {
                found.push(format!("{}:{}: {pattern} in: {}", file.path, number + 1, line.trim()));
            }
        }
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_file_without_module_docs_is_found() {
        assert!(module_docs(&file("a.rs", "//! What lives here.\n")).is_none());
        for text in ["", "use std::fs;\n//! Too late.\n", "// no doc\n", "/// wrong doc\n"] {
            assert!(module_docs(&file("a.rs", text)).is_some(), "{text:?}");
        }
    }

    #[test]
    fn a_long_file_is_found_and_tests_are_not_counted() {
        let lines = |count| "x\n".repeat(count);
        assert!(length(&file("src/a.rs", &lines(LONGEST))).is_none());
        assert!(length(&file("src/a.rs", &lines(LONGEST + 1))).unwrap().contains("801 lines"));
        assert!(length(&file("crates/a/tests/b.rs", &lines(2_000))).is_none());
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(700), lines(700));
        assert!(length(&file("src/a.rs", &with_tests)).is_none());
        let with_one_test_item = format!("{}#[cfg(test)]\nuse a;\n{}", lines(700), lines(700));
        assert!(length(&file("src/a.rs", &with_one_test_item)).is_some());
    }

    #[test]
    fn every_mark_of_unfinished_work_is_found() {
        for mark in LEFTOVERS {
            let text = format!("fn f() {{\n    {mark}()\n}}\n");
            let found = leftovers(&file("a.rs", &text));
            assert_eq!(found.len(), 1, "{mark}");
            assert!(found[0].starts_with("a.rs:2: "), "{found:?}");
        }
        for fine in ["a to-do list", "todo list", "AUTODOC", "debug!()", "ignored"] {
            assert!(leftovers(&file("a.rs", fine)).is_empty(), "{fine}");
        }
    }

    #[test]
    fn unsafe_code_is_found_but_in_the_one_crate_that_may_have_it() {
        for code in UNSAFE_CODE {
            let text = format!("fn f() {{}}\n#[{code}\n");
            assert_eq!(unsafe_code(&file("crates/larder/src/a.rs", &text)).len(), 1, "{text}");
            assert_eq!(unsafe_code(&file("crates/store-more/src/a.rs", &text)).len(), 1, "{text}");
            assert!(unsafe_code(&file("crates/store/src/memory/a.rs", &text)).is_empty(), "{text}");
        }
        for fine in ["// Nothing `unsafe` here.", "let is_unsafe = fn_that_is_safe();"] {
            assert!(unsafe_code(&file("crates/larder/src/a.rs", fine)).is_empty(), "{fine}");
        }
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for dir in LOCAL {
            for text in [format!("{dir}x"), format!("see `{dir}x`"), format!("DIR={dir}x")] {
                assert_eq!(local_paths(&file("a.toml", &text)).len(), 1, "{text}");
            }
            for text in
                [format!("..{dir}x"), format!("a.example{dir}x"), format!("${{ROOT}}{dir}x")]
            {
                assert!(local_paths(&file("a.toml", &text)).is_empty(), "{text}");
            }
        }
        assert!(local_paths(&file("a.md", "/workspace/x")).is_empty());
    }
}
