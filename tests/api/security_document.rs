//! docs/security.md says only what is so: every test that it names is there, every requirement has its answer, and what is
//! open is told as such.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text() -> String {
    std::fs::read_to_string(root().join("docs/security.md")).unwrap()
}

/// The names of all tests in the sources.
fn tests() -> BTreeSet<String> {
    fn walk(dir: &Path, names: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, names);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let mut marked = false;
                for line in text.lines().map(str::trim) {
                    let function = line.trim_start_matches("async ").strip_prefix("fn ");
                    if let Some(name) = function.and_then(|rest| rest.split(['(', '<']).next()) {
                        if marked {
                            names.insert(name.to_owned());
                        }
                        marked = false;
                    } else if line.starts_with("#[") && line.contains("test]") {
                        marked = true;
                    }
                }
            }
        }
    }
    let mut names = BTreeSet::new();
    walk(&root().join("src"), &mut names);
    walk(&root().join("tests"), &mut names);
    names
}

/// What stands in `code` quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The cells of every row of the tables, headers and rules apart.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| {
        line.starts_with("| ") && !line.starts_with("| attacker") && !line.starts_with("| requirement")
    });
    lines
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn every_test_that_the_security_document_names_is_there() {
    let (text, tests) = (text(), tests());
    let sentences: BTreeSet<&str> = quoted(&text)
        .filter(|name| {
            name.matches('_').count() >= 3
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
        .collect();
    assert!(sentences.len() > 50, "{}", sentences.len());
    let missing: Vec<_> = sentences.iter().filter(|name| !tests.contains(**name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:?}");
    let cut = quoted(&text).find(|name| name.contains('*') || name.contains("..."));
    assert_eq!(cut, None, "a test is named in full");
    for file in text
        .split(&[' ', '`', ',', ';', '(', ')', '\n'][..])
        .filter(|word| word.ends_with(".rs"))
    {
        let file = file.trim_start_matches("../");
        assert!(root().join(file).exists(), "{file} is not there");
    }
}

#[test]
fn every_attacker_meets_a_test_and_every_requirement_has_its_answer() {
    let text = text();
    let (attackers, rest) = text.split_once("\n## Tried from outside").unwrap();
    let (_, requirements) = rest.split_once("\n## OWASP").unwrap();
    let tests = tests();
    let attackers = rows(attackers);
    assert!(attackers.len() > 10);
    for row in attackers {
        assert_eq!(row.len(), 4, "{row:?}");
        let shown = quoted(row[3]).any(|name| tests.contains(name)) || row[3].contains("tests/api/");
        assert!(shown, "nothing shows what stands in the way of: {}", row[0]);
    }
    let requirements = rows(requirements);
    assert!(requirements.len() > 40);
    for row in requirements {
        assert_eq!(row.len(), 3, "{row:?}");
        let answer = row[1].trim_matches('*');
        let known = ["met", "not applicable", "open", "partly"]
            .iter()
            .any(|word| answer.starts_with(word));
        assert!(known, "{}: {answer}", row[0]);
        assert!(!row[2].is_empty(), "{} says not how, or why not", row[0]);
        if answer == "partly" {
            assert!(row[2].contains("open"), "{} says not what of it is open", row[0]);
        }
    }
}
