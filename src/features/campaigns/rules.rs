use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::wire::{
    CODE_RULE, CampaignPatch, CampaignView, MAX_OPTIONS, MAX_QUESTIONS, Question, QuestionType, check_labels,
    is_code,
};
use crate::platform::personal::holds_personal_number;
use crate::platform::validate::FieldErrors;

/// Most characters in a text answer.
const MAX_TEXT: usize = 500;
/// Bounds of a scale that names none.
const SCALE: (i32, i32) = (1, 5);

/// RFC 6901 escaping of one segment.
pub fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// Whether questions make sense: distinct keys, options just where they belong, bounds in order.
pub fn check_questions(questions: &[Question], errors: &mut FieldErrors) {
    if questions.len() > MAX_QUESTIONS {
        errors.add(
            "/questions",
            "too_many",
            format!("at most {MAX_QUESTIONS} questions"),
        );
        return;
    }
    let mut seen = BTreeSet::new();
    for (n, question) in questions.iter().enumerate() {
        let pointer = format!("/questions/{n}");
        if !is_code(&question.key) {
            errors.add(format!("{pointer}/key"), "bad_code", CODE_RULE);
        } else if !seen.insert(&question.key) {
            errors.add(
                format!("{pointer}/key"),
                "duplicate",
                "another question has this key",
            );
        }
        check_labels(&format!("{pointer}/labels"), &question.labels, errors);
        check_options(&pointer, question, errors);
        check_bounds(&pointer, question, errors);
    }
}

fn check_options(pointer: &str, question: &Question, errors: &mut FieldErrors) {
    let at = format!("{pointer}/options");
    let chosen = matches!(question.kind, QuestionType::Choice | QuestionType::MultiChoice);
    match (chosen, question.options.len()) {
        (true, 1..=MAX_OPTIONS) | (false, 0) => {}
        (true, _) => errors.add(&at, "bad_length", format!("must hold 1 to {MAX_OPTIONS} options")),
        (false, _) => errors.add(&at, "not_allowed", "only choice and multi_choice have options"),
    }
    let mut seen = BTreeSet::new();
    for (n, option) in question.options.iter().take(MAX_OPTIONS).enumerate() {
        errors.text(&format!("{at}/{n}"), option, 1, 100);
        if !seen.insert(option) {
            errors.add(format!("{at}/{n}"), "duplicate", "this option stands here twice");
        }
    }
    for (option, labels) in question.option_labels.iter().take(MAX_OPTIONS) {
        let at = format!("{pointer}/option_labels/{}", escape(option));
        if question.options.contains(option) {
            check_labels(&at, labels, errors);
        } else {
            errors.add(&at, "unknown_option", "there is no such option");
        }
    }
}

fn check_bounds(pointer: &str, question: &Question, errors: &mut FieldErrors) {
    if matches!(question.kind, QuestionType::Scale | QuestionType::Integer) {
        if let (Some(least), Some(most)) = bounds(question)
            && least > most
        {
            errors.add(format!("{pointer}/max"), "before_min", "must not be below min");
        }
        return;
    }
    for (name, bound) in [("min", question.min), ("max", question.max)] {
        if bound.is_some() {
            errors.add(
                format!("{pointer}/{name}"),
                "not_allowed",
                "only scale and integer have bounds",
            );
        }
    }
}

fn bounds(question: &Question) -> (Option<i32>, Option<i32>) {
    match question.kind {
        QuestionType::Scale => (question.min.or(Some(SCALE.0)), question.max.or(Some(SCALE.1))),
        _ => (question.min, question.max),
    }
}

/// Checks answers against the questions that were asked: every key known, every answer of its question's kind. Required
/// questions count only when `require`, that is when somebody was met. Pointers lead to `/answers/<key>`.
pub fn check_answers(
    questions: &[Question],
    answers: &Map<String, Value>,
    require: bool,
    errors: &mut FieldErrors,
) {
    for (key, answer) in answers {
        let pointer = format!("/answers/{}", escape(key));
        match questions.iter().find(|question| question.key == *key) {
            Some(question) => {
                if let Err((code, detail)) = check_answer(question, answer) {
                    errors.add(pointer, code, detail);
                }
            }
            None => errors.add(pointer, "unknown_question", "this question was not asked"),
        }
    }
    if !require {
        return;
    }
    for question in questions.iter().filter(|question| question.required) {
        if answers.get(&question.key).is_none_or(says_nothing) {
            errors.add(
                format!("/answers/{}", escape(&question.key)),
                "required",
                "must be answered when somebody was met",
            );
        }
    }
}

/// An answer of the right kind that still answers nothing.
fn says_nothing(answer: &Value) -> bool {
    match answer {
        Value::String(text) => text.trim().is_empty(),
        Value::Array(chosen) => chosen.is_empty(),
        _ => false,
    }
}

fn check_answer(question: &Question, answer: &Value) -> Result<(), (&'static str, String)> {
    let wrong = |wanted: &str| Err(("wrong_type", format!("must be {wanted}")));
    match (question.kind, answer) {
        (QuestionType::Bool, Value::Bool(_)) => Ok(()),
        (QuestionType::Bool, _) => wrong("true or false"),
        (QuestionType::Choice, Value::String(option)) => check_option(question, option),
        (QuestionType::Choice, _) => wrong("one of the options, as a string"),
        (QuestionType::MultiChoice, Value::Array(chosen)) => check_chosen(question, chosen),
        (QuestionType::MultiChoice, _) => wrong("an array of options"),
        (QuestionType::Scale | QuestionType::Integer, Value::Number(number)) => match number.as_i64() {
            Some(number) => check_number(question, number),
            None => wrong("a whole number"),
        },
        (QuestionType::Scale | QuestionType::Integer, _) => wrong("a whole number"),
        (QuestionType::Text, Value::String(text)) => check_text(text),
        (QuestionType::Text, _) => wrong("a string"),
    }
}

fn check_option(question: &Question, option: &str) -> Result<(), (&'static str, String)> {
    if question.options.iter().any(|known| known == option) {
        Ok(())
    } else {
        Err((
            "unknown_option",
            format!("must be one of: {}", question.options.join(", ")),
        ))
    }
}

fn check_chosen(question: &Question, chosen: &[Value]) -> Result<(), (&'static str, String)> {
    let mut seen = BTreeSet::new();
    for option in chosen {
        let Value::String(option) = option else {
            return Err(("wrong_type", "must be an array of options".to_owned()));
        };
        check_option(question, option)?;
        if !seen.insert(option) {
            return Err(("duplicate", "must hold each option at most once".to_owned()));
        }
    }
    Ok(())
}

fn check_number(question: &Question, number: i64) -> Result<(), (&'static str, String)> {
    let (least, most) = bounds(question);
    let (least, most) = (least.unwrap_or(i32::MIN), most.unwrap_or(i32::MAX));
    if (i64::from(least)..=i64::from(most)).contains(&number) {
        Ok(())
    } else {
        Err(("out_of_range", format!("must be from {least} to {most}")))
    }
}

fn check_text(text: &str) -> Result<(), (&'static str, String)> {
    let mut errors = FieldErrors::default();
    errors.text("", text, 0, MAX_TEXT);
    if let Some(error) = errors.0.pop() {
        let code = if error.code == "bad_length" {
            "bad_length"
        } else {
            "control_character"
        };
        return Err((code, error.detail));
    }
    if holds_personal_number(text) {
        return Err((
            "personal_number",
            "must not hold a phone or identity number; leave it out".to_owned(),
        ));
    }
    Ok(())
}

/// The campaign as a change would leave it, and whether its questions are other ones. Versions are left alone.
pub fn apply(campaign: &CampaignView, patch: CampaignPatch) -> (CampaignView, bool) {
    let mut changed = campaign.clone();
    if let Some(name) = patch.name {
        changed.name = name;
    }
    if let Some(starts_on) = patch.starts_on {
        changed.starts_on = starts_on;
    }
    if let Some(ends_on) = patch.ends_on {
        changed.ends_on = ends_on;
    }
    if let Some(questions) = patch.questions {
        changed.questions = questions;
    }
    if let Some(issues) = patch.issues {
        changed.issues = issues;
    }
    if let Some(collect_support) = patch.collect_support {
        changed.collect_support = collect_support;
    }
    if let Some(retention_days) = patch.retention_days {
        changed.retention_days = retention_days;
    }
    if let Some(targets) = patch.targets {
        changed.targets = targets;
    }
    if let Some(bounds) = patch.bounds {
        changed.bounds = bounds;
    }
    let other_questions = changed.questions != campaign.questions;
    (changed, other_questions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question(kind: &str, more: Value) -> Question {
        let mut question = json!({"key": "q", "type": kind, "labels": {"en": "?"}});
        for (key, value) in more.as_object().unwrap() {
            question[key] = value.clone();
        }
        serde_json::from_value(question).unwrap()
    }

    fn codes(question: &Question, answers: Value, require: bool) -> Vec<String> {
        let mut errors = FieldErrors::default();
        check_answers(
            std::slice::from_ref(question),
            answers.as_object().unwrap(),
            require,
            &mut errors,
        );
        errors.0.into_iter().map(|error| error.code).collect()
    }

    #[test]
    fn an_answer_must_be_of_its_questions_kind() {
        let options = json!({"options": ["a", "b"]});
        let cases = [
            ("bool", json!({}), json!(true), None),
            ("bool", json!({}), json!("yes"), Some("wrong_type")),
            ("bool", json!({}), json!(null), Some("wrong_type")),
            ("choice", options.clone(), json!("b"), None),
            ("choice", options.clone(), json!("c"), Some("unknown_option")),
            ("choice", options.clone(), json!(["a"]), Some("wrong_type")),
            ("multi_choice", options.clone(), json!(["b", "a"]), None),
            (
                "multi_choice",
                options.clone(),
                json!(["a", "a"]),
                Some("duplicate"),
            ),
            (
                "multi_choice",
                options.clone(),
                json!(["a", 1]),
                Some("wrong_type"),
            ),
            ("multi_choice", options, json!("a"), Some("wrong_type")),
            ("scale", json!({}), json!(5), None),
            ("scale", json!({}), json!(6), Some("out_of_range")),
            ("scale", json!({"min": 0, "max": 10}), json!(10), None),
            ("integer", json!({}), json!(-7), None),
            ("integer", json!({"min": 0}), json!(-7), Some("out_of_range")),
            ("integer", json!({}), json!(1.5), Some("wrong_type")),
            ("integer", json!({}), json!(u64::MAX), Some("wrong_type")),
            (
                "integer",
                json!({}),
                json!(3_000_000_000_u32),
                Some("out_of_range"),
            ),
            ("text", json!({}), json!("पानी"), None),
            ("text", json!({}), json!("x".repeat(501)), Some("bad_length")),
            ("text", json!({}), json!("a\u{0}b"), Some("control_character")),
            (
                "text",
                json!({}),
                json!("call 98123 45678"),
                Some("personal_number"),
            ),
            ("text", json!({}), json!(5), Some("wrong_type")),
        ];
        for (kind, more, answer, expected) in cases {
            let found = codes(&question(kind, more), json!({"q": answer}), false);
            let expected: Vec<String> = expected.map(str::to_owned).into_iter().collect();
            assert_eq!(found, expected, "{kind}: {answer}");
        }
    }

    #[test]
    fn a_required_question_is_required_only_of_a_contact() {
        let question = question("text", json!({"required": true}));
        assert_eq!(codes(&question, json!({}), false), Vec::<String>::new());
        assert_eq!(codes(&question, json!({}), true), ["required"]);
        assert_eq!(codes(&question, json!({"q": " "}), true), ["required"]);
        assert_eq!(codes(&question, json!({"q": "x"}), true), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_key_is_pointed_at_with_its_escapes() {
        let mut errors = FieldErrors::default();
        check_answers(&[], json!({"a/b~c": 1}).as_object().unwrap(), true, &mut errors);
        assert_eq!(
            (errors.0[0].pointer.as_str(), errors.0[0].code.as_str()),
            ("/answers/a~1b~0c", "unknown_question")
        );
    }

    #[test]
    fn questions_that_make_no_sense_are_refused() {
        let cases = [
            (question("choice", json!({})), "/questions/0/options"),
            (
                question("choice", json!({"options": ["a", "a"]})),
                "/questions/0/options/1",
            ),
            (
                question("bool", json!({"options": ["a"]})),
                "/questions/0/options",
            ),
            (question("bool", json!({"min": 1})), "/questions/0/min"),
            (question("scale", json!({"min": 9})), "/questions/0/max"),
            (question("bool", json!({"key": "9"})), "/questions/0/key"),
            (question("bool", json!({"labels": {}})), "/questions/0/labels"),
            (
                question("bool", json!({"labels": {"e/n": "?"}})),
                "/questions/0/labels/e~1n",
            ),
            (
                question("bool", json!({"option_labels": {"a": {"en": "A"}}})),
                "/questions/0/option_labels/a",
            ),
        ];
        for (question, pointer) in cases {
            let mut errors = FieldErrors::default();
            check_questions(std::slice::from_ref(&question), &mut errors);
            let pointers: Vec<_> = errors.0.iter().map(|error| error.pointer.as_str()).collect();
            assert_eq!(pointers, [pointer], "{question:?}");
        }
        let twice = [question("bool", json!({})), question("text", json!({}))];
        let mut errors = FieldErrors::default();
        check_questions(&twice, &mut errors);
        assert_eq!(errors.0[0].pointer, "/questions/1/key");
    }

    fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            Just(json!("a")),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z/~]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        /// Whatever is answered: no panic, and what passes is of the kind that reports count on.
        #[test]
        fn what_passes_can_be_counted(answer in any_json(), require: bool) {
            for kind in ["bool", "choice", "multi_choice", "scale", "integer", "text"] {
                let more = if kind.ends_with("choice") { json!({"options": ["a"]}) } else { json!({}) };
                if codes(&question(kind, more), json!({"q": answer.clone()}), require).is_empty() {
                    let fits = match kind {
                        "bool" => answer.is_boolean(),
                        "choice" => answer == json!("a"),
                        "multi_choice" => answer == json!(["a"]) || answer == json!([]),
                        "scale" => (1..=5).contains(&answer.as_i64().unwrap()),
                        "integer" => i32::try_from(answer.as_i64().unwrap()).is_ok(),
                        _ => answer.is_string(),
                    };
                    proptest::prop_assert!(fits, "{kind} took {answer}");
                }
            }
        }
    }
}
