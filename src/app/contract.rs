//! The problems that any operation can answer with, written into the contract once instead of at every handler.

use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};

/// Adds what is not said at the handler itself.
pub fn add_common_problems(operation: &mut Operation) {
    let open = operation.security.as_ref().is_none_or(|ways| {
        let ways = serde_json::to_value(ways).unwrap_or_default();
        ways.as_array().is_none_or(|ways| {
            ways.iter()
                .any(|way| way.as_object().is_some_and(serde_json::Map::is_empty))
        })
    });
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    let has = |place: ParameterIn| {
        parameters
            .iter()
            .any(|parameter| matches!(parameter, RefOr::T(known) if known.parameter_in == place))
    };
    let (in_path, in_query) = (has(ParameterIn::Path), has(ParameterIn::Query));
    let body = operation.request_body.is_some();
    let problems = [
        (
            "400",
            true,
            "The request cannot be read: not JSON, a bad header, a cursor that is none of ours.",
        ),
        ("401", !open, "Not signed in, or the session has ended."),
        (
            "403",
            !open,
            "Your grants do not allow it, or only with a second factor.",
        ),
        (
            "404",
            in_path,
            "There is no such thing, or it lies outside your grants.",
        ),
        ("408", body, "The body took too long to arrive."),
        ("413", body, "The body is too large."),
        ("415", body, "This kind of body is not read here."),
        (
            "422",
            body || in_query,
            "A field is not valid; `errors` names each.",
        ),
        (
            "429",
            true,
            "Too many requests; wait as long as `Retry-After` says.",
        ),
        ("503", true, "Not now; send it again after `Retry-After`."),
    ];
    for (status, possible, description) in problems {
        if possible {
            operation
                .responses
                .responses
                .entry(status.to_owned())
                .or_insert_with(|| RefOr::T(problem(description)));
        }
    }
}

fn problem(description: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name("Problem"))),
        )
        .build()
}
