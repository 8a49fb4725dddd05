//! What a back-check says of a visit, field by field.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde_json::{Map, Value};

use crate::features::campaigns::{Question, QuestionType};
use crate::features::draws::wire::{
    AnswerRule, CheckOutcome, Compare, Evidence, Finding, Observed, OutcomeRule, RuleKind, ShownAs,
};
use crate::features::visits::Outcome;
use crate::platform::validate::FieldErrors;

/// A visit as it stood when the draw was requested.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub outcome: Outcome,
    pub visited_on: NaiveDate,
    pub people_met: i32,
    pub answers: Map<String, Value>,
}

/// The rules of a draw: those that were asked for, and for every other question of the campaign what fits its kind:
/// texts are ignored, all else has to be the same.
///
/// # Errors
/// Rules for questions that were never asked, or tolerances of what is no number.
pub fn resolved(
    asked: Option<Compare>,
    questions: &BTreeMap<i32, Vec<Question>>,
) -> Result<Compare, FieldErrors> {
    let mut compare = asked.unwrap_or_default();
    let mut kinds: BTreeMap<&str, QuestionType> = BTreeMap::new();
    for question in questions.values().flatten() {
        kinds.insert(&question.key, question.kind);
    }
    let mut errors = FieldErrors::default();
    for (key, rule) in &compare.answers {
        let pointer = format!("/compare/answers/{}", key.replace('~', "~0").replace('/', "~1"));
        match kinds.get(key.as_str()) {
            None => errors.add(pointer, "unknown_question", "the campaign never asked this"),
            Some(QuestionType::Scale | QuestionType::Integer) => {}
            Some(_) if rule.rule == RuleKind::Tolerance => {
                errors.add(
                    pointer,
                    "not_a_number",
                    "only numbers can be compared within a tolerance",
                );
            }
            Some(_) => {}
        }
    }
    if !errors.0.is_empty() {
        return Err(errors);
    }
    for (key, kind) in kinds {
        let usual = if kind == QuestionType::Text {
            RuleKind::Ignored
        } else {
            RuleKind::Exact
        };
        compare.answers.entry(key.to_owned()).or_insert(AnswerRule {
            rule: usual,
            within: None,
        });
    }
    Ok(compare)
}

/// What was found out about a visit, and why.
#[must_use]
pub fn judge(
    rules: &Compare,
    recorded: &Recorded,
    outcome: CheckOutcome,
    observed: Option<&Observed>,
) -> (Finding, Vec<Evidence>) {
    match (outcome, observed) {
        (CheckOutcome::Found, Some(observed)) => {
            let evidence = compared(rules, recorded, observed);
            let has = |wanted| evidence.iter().any(|one| one.result == wanted);
            let finding = if has(ShownAs::Mismatch) {
                Finding::Mismatch
            } else if has(ShownAs::Match) {
                Finding::Match
            } else {
                Finding::Unconfirmed
            };
            (finding, evidence)
        }
        (CheckOutcome::NotFound, _) => (Finding::Mismatch, Vec::new()),
        // That they have moved is then just what was recorded.
        (CheckOutcome::Moved, _) if recorded.outcome == Outcome::Moved => (Finding::Match, Vec::new()),
        _ => (Finding::Unconfirmed, Vec::new()),
    }
}

fn compared(rules: &Compare, recorded: &Recorded, observed: &Observed) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    let mut add = |field: String, rule: String, result: ShownAs| {
        evidence.push(Evidence { field, rule, result });
    };
    let met = |outcome: Outcome| outcome == Outcome::Met;
    match rules.outcome {
        OutcomeRule::Ignored => {}
        OutcomeRule::Exact => add(
            "outcome".to_owned(),
            "exact".to_owned(),
            told(observed.outcome, |told| told == recorded.outcome),
        ),
        OutcomeRule::Contact => add(
            "outcome".to_owned(),
            "contact".to_owned(),
            told(observed.outcome, |told| met(told) == met(recorded.outcome)),
        ),
    }
    if let Some(days) = rules.day_within {
        let apart = |told: NaiveDate| told.signed_duration_since(recorded.visited_on).num_days().abs();
        add(
            "visited_on".to_owned(),
            format!("within {days}"),
            told(observed.visited_on, |told| apart(told) <= i64::from(days)),
        );
    }
    if let Some(people) = rules.people_met_within {
        add(
            "people_met".to_owned(),
            format!("within {people}"),
            told(observed.people_met, |told| {
                told.abs_diff(recorded.people_met) <= people.unsigned_abs()
            }),
        );
    }
    for (key, rule) in &rules.answers {
        let name = match rule.rule {
            RuleKind::Ignored => continue,
            RuleKind::Exact => "exact".to_owned(),
            RuleKind::Tolerance => format!("within {}", rule.within.unwrap_or(0)),
        };
        let given = |answer: Option<&Value>| answer.filter(|answer| !answer.is_null()).cloned();
        let result = match (given(recorded.answers.get(key)), given(observed.answers.get(key))) {
            (_, None) => ShownAs::NotAsked,
            (None, Some(_)) => ShownAs::NotRecorded,
            (Some(recorded), Some(told)) if agree(rule, &recorded, &told) => ShownAs::Match,
            _ => ShownAs::Mismatch,
        };
        add(format!("answers/{key}"), name, result);
    }
    evidence
}

fn told<T: Copy>(told: Option<T>, fits: impl FnOnce(T) -> bool) -> ShownAs {
    match told {
        None => ShownAs::NotAsked,
        Some(told) if fits(told) => ShownAs::Match,
        Some(_) => ShownAs::Mismatch,
    }
}

fn agree(rule: &AnswerRule, recorded: &Value, told: &Value) -> bool {
    if let (RuleKind::Tolerance, Some(recorded), Some(told)) = (rule.rule, recorded.as_i64(), told.as_i64()) {
        return recorded.abs_diff(told) <= u64::from(rule.within.unwrap_or(0).unsigned_abs());
    }
    match (recorded, told) {
        // Of several choices the order says nothing.
        (Value::Array(recorded), Value::Array(told)) => {
            let set = |items: &[Value]| items.iter().map(Value::to_string).collect::<BTreeSet<_>>();
            set(recorded) == set(told)
        }
        (Value::String(recorded), Value::String(told)) => recorded.trim() == told.trim(),
        (recorded, told) => recorded == told,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn recorded(outcome: Outcome) -> Recorded {
        let answers = json!({"heard": true, "size": 5, "needs": ["road", "water"], "empty": null});
        Recorded {
            outcome,
            visited_on: "2026-11-20".parse().unwrap(),
            people_met: 2,
            answers: answers.as_object().unwrap().clone(),
        }
    }

    fn rules(answers: Value) -> Compare {
        Compare {
            people_met_within: Some(1),
            answers: serde_json::from_value(answers).unwrap(),
            ..Compare::default()
        }
    }

    fn found(rules: &Compare, observed: Value) -> (Finding, Vec<(String, ShownAs)>) {
        let observed: Observed = serde_json::from_value(observed).unwrap();
        let (finding, evidence) = judge(
            rules,
            &recorded(Outcome::Met),
            CheckOutcome::Found,
            Some(&observed),
        );
        let shown = evidence.into_iter().map(|one| (one.field, one.result));
        (finding, shown.collect())
    }

    fn result_of(rules: &Compare, observed: Value, field: &str) -> ShownAs {
        let (_, shown) = found(rules, observed);
        shown.into_iter().find(|(name, _)| name == field).unwrap().1
    }

    #[test]
    fn each_field_is_compared_by_its_own_rule() {
        let rules = rules(json!({
            "heard": {"rule": "exact"}, "size": {"rule": "tolerance", "within": 1},
            "needs": {"rule": "exact"}, "empty": {"rule": "exact"}, "other": {"rule": "ignored"},
        }));
        use ShownAs::{Match, Mismatch, NotAsked, NotRecorded};
        for (observed, field, expected) in [
            (json!({"outcome": "met"}), "outcome", Match),
            (json!({"outcome": "not_home"}), "outcome", Mismatch),
            (json!({}), "outcome", NotAsked),
            (json!({"visited_on": "2026-11-13"}), "visited_on", Match),
            (json!({"visited_on": "2026-11-12"}), "visited_on", Mismatch),
            (json!({"visited_on": "2026-11-28"}), "visited_on", Mismatch),
            (json!({"people_met": 3}), "people_met", Match),
            (json!({"people_met": 4}), "people_met", Mismatch),
            (json!({"answers": {"heard": false}}), "answers/heard", Mismatch),
            (json!({"answers": {"heard": null}}), "answers/heard", NotAsked),
            (json!({"answers": {"size": 6}}), "answers/size", Match),
            (json!({"answers": {"size": 3}}), "answers/size", Mismatch),
            (
                json!({"answers": {"needs": ["water", "road"]}}),
                "answers/needs",
                Match,
            ),
            (
                json!({"answers": {"needs": ["water"]}}),
                "answers/needs",
                Mismatch,
            ),
            (json!({"answers": {"empty": 1}}), "answers/empty", NotRecorded),
        ] {
            assert_eq!(
                result_of(&rules, observed.clone(), field),
                expected,
                "{observed} {field}"
            );
        }
        let (_, shown) = found(&rules, json!({"answers": {"other": 1}}));
        assert!(shown.iter().all(|(field, _)| field != "answers/other"));
    }

    #[test]
    fn one_mismatch_refutes_and_nothing_asked_confirms_nothing() {
        let rules = rules(json!({"heard": {"rule": "exact"}}));
        assert_eq!(found(&rules, json!({"outcome": "met"})).0, Finding::Match);
        let one = json!({"outcome": "met", "visited_on": "2026-11-20", "answers": {"heard": false}});
        assert_eq!(found(&rules, one).0, Finding::Mismatch);
        assert_eq!(found(&rules, json!({})).0, Finding::Unconfirmed);
    }

    #[test]
    fn who_refuses_or_has_moved_proves_nothing_and_a_door_that_is_not_there_refutes() {
        let finding =
            |recorded_as, outcome| judge(&Compare::default(), &recorded(recorded_as), outcome, None).0;
        assert_eq!(finding(Outcome::Met, CheckOutcome::NotFound), Finding::Mismatch);
        assert_eq!(finding(Outcome::Met, CheckOutcome::Refused), Finding::Unconfirmed);
        assert_eq!(finding(Outcome::Met, CheckOutcome::Moved), Finding::Unconfirmed);
        assert_eq!(finding(Outcome::Moved, CheckOutcome::Moved), Finding::Match);
    }

    #[test]
    fn rules_cover_every_question_and_no_other() {
        let question = |key: &str, kind: &str| -> Question {
            serde_json::from_value(json!({"key": key, "type": kind, "labels": {"en": "?"}})).unwrap()
        };
        let questions = BTreeMap::from([
            (1, vec![question("heard", "bool")]),
            (2, vec![question("why", "text"), question("age", "integer")]),
        ]);
        let asked = rules(json!({"age": {"rule": "tolerance", "within": 2}}));
        let all = resolved(Some(asked), &questions).unwrap();
        let kinds: Vec<_> = all
            .answers
            .iter()
            .map(|(key, rule)| (key.as_str(), rule.rule))
            .collect();
        assert_eq!(
            kinds,
            [
                ("age", RuleKind::Tolerance),
                ("heard", RuleKind::Exact),
                ("why", RuleKind::Ignored)
            ]
        );
        let wrong = rules(json!({"heard": {"rule": "tolerance", "within": 2}, "x": {"rule": "exact"}}));
        let errors = resolved(Some(wrong), &questions).unwrap_err();
        let codes: Vec<_> = errors.0.iter().map(|error| error.code.as_str()).collect();
        assert_eq!(codes, ["not_a_number", "unknown_question"]);
    }
}
