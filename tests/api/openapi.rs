//! The contract: what is checked in is what is served, and its examples are true.

mod scene;

use std::path::PathBuf;

use serde_json::{Map, Value, json};

pub use self::scene::{Ask, Scene, scene, scene_of};

/// Compares a written file with what the program says, or writes it where `SAMPARK_WRITE_DOCS` is set.
pub fn compare(path: &str, wanted: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    #[expect(
        clippy::disallowed_methods,
        reason = "./dev openapi asks for the files to be written"
    )]
    let write = std::env::var_os("SAMPARK_WRITE_DOCS").is_some();
    if write {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, wanted).unwrap();
    }
    let held = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        held == wanted,
        "{path} is not what the program says: run ./dev openapi and look at the difference"
    );
}

pub fn document() -> Value {
    serde_json::from_str(&sampark::app::openapi_json()).unwrap()
}

/// An operation of the document.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: String,
    pub path: String,
    pub id: String,
    pub value: Value,
}

pub fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, value) in item.as_object().unwrap() {
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                id: value["operationId"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{method} {path} has no operationId"))
                    .to_owned(),
                value: value.clone(),
            });
        }
    }
    operations
}

/// The operations in an order in which each example can be sent.
pub fn in_order(document: &Value) -> Vec<Operation> {
    // The visit that the others speak of comes first; a phone is signed out after it has signed in; oneself comes last.
    let mut operations = operations(document);
    operations.sort_by_key(|operation| {
        let imports = operation.id.starts_with("import");
        (
            operation.id == "log_out",
            operation.id == "erase_contact",
            operation.id == "withdraw_consent",
            operation.id == "revoke_device",
            operation.id == "delete_webhook",
            imports,
            // A verdict speaks of a unit's latest report.
            operation.id == "record_task_report",
            operation.id != "record_visit",
            operation.method != "GET",
            // Of a grant that was ended nothing is left to hand over, a verdict is taken back once it is given, and a
            // visit that is voided is judged no more.
            match operation.id.as_str() {
                "end_grant" | "undo_review" => 1,
                "void_visit" => 2,
                _ => 0,
            },
        )
    });
    operations
}

#[test]
fn written_openapi_document_is_what_is_served() {
    compare("openapi/sampark.json", &sampark::app::openapi_json());
}

#[test]
fn every_operation_says_what_it_is_and_what_can_go_wrong() {
    let document = document();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for operation in operations(&document) {
        let (id, value) = (&operation.id, &operation.value);
        assert!(
            value["summary"]
                .as_str()
                .is_some_and(|summary| !summary.is_empty()),
            "{id} has no summary"
        );
        assert!(
            value["tags"].as_array().is_some_and(|tags| tags.len() == 1),
            "{id} has no tag"
        );
        assert!(value["security"].is_array(), "{id} does not say who may");
        let responses = value["responses"].as_object().unwrap();
        assert!(
            responses.keys().any(|status| status.starts_with('2')),
            "{id} has no success"
        );
        let open = value["security"] == json!([{}]) && operation.method == "GET";
        assert!(
            open || responses.keys().any(|status| status.starts_with('4')),
            "{id} has no problem"
        );
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(document: &Value, value: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    assert!(resolve(document, target).is_object(), "{target}");
                }
                map.values().for_each(|value| walk(document, value));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(document, value)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
}

pub fn resolve<'a>(document: &'a Value, target: &str) -> &'a Value {
    document
        .pointer(target.trim_start_matches('#'))
        .unwrap_or_else(|| panic!("{target} leads nowhere"))
}

/// The example of a schema: its own, or put together from those of its parts.
fn example(document: &Value, schema: &Value) -> Option<Value> {
    if let Some(example) = schema.get("example") {
        return Some(example.clone());
    }
    if let Some(example) = schema.get("examples").and_then(|examples| examples.get(0)) {
        return Some(example.clone());
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return example(document, resolve(document, target));
    }
    if let Some(first) = schema.get("enum").and_then(|words| words.get(0)) {
        return Some(first.clone());
    }
    for word in ["oneOf", "anyOf"] {
        for option in schema.get(word).and_then(Value::as_array).into_iter().flatten() {
            if let Some(example) = example(document, option) {
                return Some(example);
            }
        }
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        let mut object = Map::new();
        for (name, property) in properties {
            if let Some(value) = example(document, property) {
                object.insert(name.clone(), value);
            }
        }
        return Some(Value::Object(object));
    }
    if let Some(items) = schema.get("items") {
        return example(document, items).map(|item| json!([item]));
    }
    None
}

/// What of a value does not fit a schema: types, required members, words, references.
pub fn misfits(document: &Value, schema: &Value, value: &Value, at: &str, out: &mut Vec<String>) {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        return misfits(document, resolve(document, target), value, at, out);
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(options) = schema.get(word).and_then(Value::as_array) {
            let fits = options.iter().any(|option| {
                let mut found = Vec::new();
                misfits(document, option, value, at, &mut found);
                found.is_empty()
            });
            if !fits {
                out.push(format!("{at} fits none of its kinds"));
            }
            return;
        }
    }
    for part in schema
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        misfits(document, part, value, at, out);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |name: &str| name == kind || (name == "number" && kind == "integer");
    let typed = match schema.get("type") {
        Some(Value::String(name)) => fits(name),
        Some(Value::Array(names)) => names.iter().any(|name| fits(name.as_str().unwrap())),
        _ => true,
    };
    if !typed {
        out.push(format!("{at} is {kind}, not {}", schema["type"]));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array)
        && !words.contains(value)
    {
        out.push(format!("{at} is {value}, none of {words:?}"));
    }
    if let (Some(properties), Value::Object(object)) =
        (schema.get("properties").and_then(Value::as_object), value)
    {
        for name in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !object.contains_key(name.as_str().unwrap()) {
                out.push(format!("{at} lacks {name}"));
            }
        }
        for (name, value) in object {
            if let Some(property) = properties.get(name) {
                misfits(document, property, value, &format!("{at}/{name}"), out);
            } else if schema.get("allOf").is_none() && at.matches('/').count() < 9 && !properties.is_empty() {
                out.push(format!(
                    "{at} has a member {name} that the document does not know"
                ));
            }
        }
    }
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        for (n, value) in values.iter().enumerate() {
            misfits(document, items, value, &format!("{at}/{n}"), out);
        }
    }
}

#[actix_web::test]
async fn every_example_is_true_and_every_answer_fits_its_schema() {
    let document = document();
    let s = scene().await;
    let mut wrong = Vec::new();
    for operation in in_order(&document) {
        let answer = s.send(&document, &operation).await;
        if !(200..300).contains(&answer.status) {
            wrong.push(format!("{}: {} {}", operation.id, answer.status, answer.text()));
            continue;
        }
        let response = &operation.value["responses"][answer.status.to_string()];
        if !response.is_object() {
            wrong.push(format!(
                "{}: {} is not in the document",
                operation.id, answer.status
            ));
        } else if let Some(schema) = response.pointer("/content/application~1json/schema") {
            let mut found = Vec::new();
            misfits(&document, schema, &answer.json, "", &mut found);
            wrong.extend(
                found
                    .into_iter()
                    .map(|misfit| format!("{}: {misfit}", operation.id)),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_fits_the_schema_that_it_stands_in() {
    fn walk(document: &Value, schema: &Value, at: &str, wrong: &mut Vec<String>) {
        if let Some(example) = schema.get("example") {
            let mut found = Vec::new();
            misfits(document, schema, example, "", &mut found);
            wrong.extend(found.into_iter().map(|misfit| format!("{at}: {misfit}")));
        }
        for (name, part) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            walk(document, part, &format!("{at}/{name}"), wrong);
        }
        if let Some(items) = schema.get("items") {
            walk(document, items, &format!("{at}/items"), wrong);
        }
    }
    let document = document();
    let mut wrong = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        walk(&document, schema, name, &mut wrong);
    }
    for operation in operations(&document) {
        for parameter in operation.value["parameters"].as_array().into_iter().flatten() {
            if let Some(example) = parameter.get("example") {
                let mut found = Vec::new();
                misfits(&document, &parameter["schema"], example, "", &mut found);
                let name = &parameter["name"];
                wrong.extend(
                    found
                        .into_iter()
                        .map(|misfit| format!("{} {name}: {misfit}", operation.id)),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
