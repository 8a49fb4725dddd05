//! The direction of imports, and other habits of the house that a machine can watch over.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under a folder, with its path from the root.
fn files(folder: &str) -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                out.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    let named = paths.into_iter().map(|path| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    });
    named.collect()
}

/// The features in the order in which they may use each other: what is written of it above them.
fn features() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("src/features/mod.rs")).unwrap();
    let (_, order) = text.split_once("//! Order: ").unwrap();
    let (order, _) = order.split_once('.').unwrap();
    let order: Vec<String> = order
        .split(',')
        .map(|name| name.replace("//!", "").trim().to_owned())
        .collect();
    let mut named = order.clone();
    named.sort();
    let modules: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert_eq!(named, modules, "every feature has its place in the order");
    order
}

/// Code without comments, since comments may speak of anything.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn a_floor_uses_only_floors_below_it() {
    let forbidden = [
        (
            "src/platform/",
            &["crate::journal", "crate::access", "crate::features", "crate::app"][..],
        ),
        (
            "src/journal/",
            &["crate::access", "crate::features", "crate::app"][..],
        ),
        ("src/access/", &["crate::features", "crate::app"][..]),
        ("src/features/", &["crate::app", "crate::demo"][..]),
    ];
    let mut wrong = Vec::new();
    for (floor, above) in forbidden {
        for (name, text) in files(floor) {
            for line in code(&text) {
                if above.iter().any(|floor| line.contains(floor)) {
                    wrong.push(format!("{name}: {}", line.trim()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_feature_uses_only_those_named_before_it_through_their_mod() {
    let order = features();
    assert!(order.len() >= 8, "{order:?}");
    let mut wrong = Vec::new();
    for (n, feature) in order.iter().enumerate() {
        for (name, text) in files(&format!("src/features/{feature}")) {
            for line in code(&text) {
                for used in line.split("crate::features::").skip(1) {
                    let path: Vec<&str> = used
                        .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                        .next()
                        .unwrap()
                        .split("::")
                        .collect();
                    let other = path[0];
                    let rooms = ["api", "wire", "rules", "queries"];
                    let deep = other != feature && path.get(1).is_some_and(|room| rooms.contains(room));
                    let known = order.iter().position(|known| known == other);
                    if known.is_none_or(|place| place > n) || deep {
                        wrong.push(format!("{name}: {}", line.trim()));
                    }
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn within_a_feature_data_flows_one_way() {
    let mut wrong = Vec::new();
    for (name, text) in files("src/features") {
        let above: &[&str] = if name.ends_with("/queries.rs") {
            &["super::api"]
        } else if name.ends_with("/rules.rs") {
            &["super::api", "diesel"]
        } else if name.ends_with("/wire.rs") {
            &["super::api", "diesel::"]
        } else {
            continue;
        };
        for line in code(&text).filter(|line| line.trim_start().starts_with("use ")) {
            if above.iter().any(|room| line.contains(room)) {
                wrong.push(format!("{name}: {}", line.trim()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn sql_stands_in_queries_alone() {
    // The heart (journal), sign-in (policy), doors and the demo have statements of their own; see ARCHITECTURE.md.
    let allowed = [
        "/queries",
        "src/features/visits/doors.rs",
        "src/features/units/import",
    ];
    let mut wrong = Vec::new();
    for (name, text) in files("src/features") {
        if !allowed.iter().any(|room| name.contains(room))
            && code(&text).any(|line| line.contains("statement("))
        {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_feature_says_what_it_is_and_who_may_do_what() {
    for feature in features() {
        let text = std::fs::read_to_string(root().join(format!("src/features/{feature}/mod.rs"))).unwrap();
        assert!(text.starts_with("//!"), "{feature}");
        assert!(
            text.to_lowercase().contains("who may") || feature == "health",
            "{feature} does not say who may do what"
        );
    }
}

#[test]
fn no_file_outgrows_its_room() {
    for folder in ["src", "tests", "bench"] {
        for (name, text) in files(folder) {
            let lines = text.lines().count();
            assert!(lines <= 600, "{name} has {lines} lines: split it");
        }
    }
}

#[test]
fn every_write_of_a_feature_names_an_entry() {
    for (name, text) in files("src/features") {
        let writes = code(&text).filter(|line| {
            line.contains(".write(") || line.contains(".write_once(") || line.contains(".write_long(")
        });
        if writes.count() > 0 {
            assert!(
                text.contains("Entry")
                    || text.contains("record(")
                    || text.contains("Record")
                    || text.contains("entry("),
                "{name} writes without a journal entry"
            );
        }
    }
}

/// The first argument of each call of a method or function in a text, with the line it stands on.
fn arguments<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    let calls = text
        .match_indices(call)
        .map(|(at, _)| text[at + call.len()..].trim_start());
    calls.collect()
}

/// Whether an argument is a text that was written down: a literal, or the name of a constant.
fn is_constant(argument: &str) -> bool {
    let name: String = argument
        .chars()
        .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
        .collect();
    let name = name.rsplit("::").next().unwrap_or_default();
    argument.starts_with('"')
        || argument.starts_with("r#\"")
        || (name.len() > 1 && name == name.to_uppercase())
}

#[test]
fn no_sql_is_built_from_strings() {
    // `statement` takes a `&'static str`, which the compiler watches over; these are the ways round it, and round that.
    let calls = [
        ".batch_execute(",
        ".simple_query(",
        ".copy_in(",
        ".copy_out(",
        ".prepare(",
        ".prepare_typed(",
        ".query(",
        ".query_one(",
        ".query_opt(",
        ".query_raw(",
        ".execute_raw(",
    ];
    let forbidden = [
        "sql_query(",
        "dsl::sql(",
        "sql::<",
        "Box::leak(",
        ".leak()",
        "push_sql(",
    ];
    // `Statement` pushes its own text.
    let known = [
        // A role and its password cannot be parameters: a constant, and hexadecimal digits of our own.
        ("src/platform/embedded_postgres/mod.rs", "&role"),
        ("src/platform/embedded_postgres/mod.rs", "&login"),
        // Nor can the name of a database; it is quoted.
        ("src/platform/embedded_postgres/restore.rs", "&statement"),
        ("src/platform/statement.rs", "before)"),
        ("src/platform/statement.rs", "rest)"),
    ];
    let mut wrong = Vec::new();
    for (name, text) in files("src") {
        let text: String = code(&text).collect::<Vec<_>>().join("\n");
        let text = text.split("#[cfg(test)]").next().unwrap();
        let is_known = |argument: &str| {
            known
                .iter()
                .any(|(room, begin)| name == *room && argument.starts_with(begin))
        };
        for call in calls {
            for argument in arguments(text, call) {
                if !is_constant(argument) && !is_known(argument) {
                    wrong.push(format!(
                        "{name}: {call}{}",
                        argument.lines().next().unwrap_or_default()
                    ));
                }
            }
        }
        for call in forbidden {
            for argument in arguments(text, call) {
                if !is_known(argument) {
                    wrong.push(format!(
                        "{name}: {call}{}",
                        argument.lines().next().unwrap_or_default()
                    ));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    // It does see what it is to see.
    for built in [
        "&format!(\"SELECT {name}\")",
        "&sql",
        "name.as_str()",
        "&[\"SELECT \", name].concat()",
    ] {
        assert!(!is_constant(built), "{built}");
    }
}
