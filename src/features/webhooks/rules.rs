use std::net::IpAddr;

use awc::http::Uri;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use rand::TryRng;
use rand::rngs::SysRng;

use super::address::may_reach;
use crate::features::feed::KINDS_FOR_SERVICES;
use crate::platform::error::ApiError;
use crate::platform::validate::FieldErrors;

/// Keys that sign at once.
pub const LIVE_SECRETS: i64 = 2;
/// Tries after which a batch is a dead letter: some four hours.
pub const TRIES: i32 = 12;
/// How long an address may fail before nothing is sent to it any more.
pub const FAILING: TimeDelta = TimeDelta::days(3);

/// 256 random bits.
pub fn new_secret() -> Result<[u8; 32], ApiError> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).map_err(ApiError::internal)?;
    Ok(bytes)
}

/// A secret as it is shown once, in the form of Standard Webhooks.
pub fn show_secret(secret: &[u8]) -> String {
    format!("whsec_{}", STANDARD.encode(secret))
}

/// The header `webhook-signature`: each live secret signs.
pub fn signatures(secrets: &[Vec<u8>], id: &str, timestamp: i64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let signatures = secrets.iter().map(|secret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

/// How long to wait after this many failures: 10 s, doubled each time up to an hour, of which the later half is chance.
pub fn retry_pause(attempts: i32) -> TimeDelta {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(0).min(9);
    let whole = 10_000_i64.saturating_mul(1 << doublings).min(3_600_000);
    TimeDelta::milliseconds(rand::random_range(whole / 2..=whole))
}

/// Where a URL leads: scheme, host without brackets, port.
pub fn target_of(url: &str) -> Option<(Uri, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let port = uri.port_u16().or(match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    if uri.authority()?.as_str().contains('@') || url.contains('#') {
        return None;
    }
    let host = uri
        .host()?
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    (!host.is_empty()).then_some((uri, host, port))
}

/// Whether the host is this machine, by name or address.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// 422 unless entries may be sent there. Names are resolved and judged when something is sent.
pub fn check_url(url: &str, allow_loopback: bool) -> Result<(), ApiError> {
    let bad = |code: &str, detail: &str| Err(ApiError::field("/url", code, detail));
    let Some((uri, host, _)) = target_of(url) else {
        return bad("bad_url", "must be an https URL without user name and fragment");
    };
    let here = allow_loopback && is_here(&host);
    if uri.scheme_str() != Some("https") && !here {
        return bad("not_https", "must be an https URL");
    }
    if host
        .parse::<IpAddr>()
        .is_ok_and(|ip| !may_reach(ip, allow_loopback))
        || (is_here(&host) && !here)
    {
        return bad("private_address", "must not be a private address");
    }
    Ok(())
}

/// Checks a filter.
pub fn check_filter(kinds: Option<&[String]>, actions: Option<&[String]>, errors: &mut FieldErrors) {
    for (pointer, words) in [("/kinds", kinds), ("/actions", actions)] {
        let Some(words) = words else { continue };
        if words.len() > 50 {
            errors.add(pointer, "bad_length", "must have at most 50 items");
            continue;
        }
        for (n, word) in words.iter().enumerate() {
            if pointer == "/kinds" && !KINDS_FOR_SERVICES.contains(&word.as_str()) {
                let known = KINDS_FOR_SERVICES.join(", ");
                errors.add(
                    format!("{pointer}/{n}"),
                    "unknown_kind",
                    format!("must be one of: {known}"),
                );
            }
            errors.text(&format!("{pointer}/{n}"), word, 1, 100);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standards_own_example() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = signatures(
            &[secret],
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn urls_that_lead_inside_are_refused() {
        for url in [
            "http://hooks.example/x",
            "ftp://hooks.example",
            "hooks.example",
            "https://",
            "https://a:b@hooks.example/",
            "https://hooks.example/#x",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest",
            "https://10.0.0.1:8443/",
        ] {
            assert!(check_url(url, false).is_err(), "{url}");
        }
        assert!(check_url("https://hooks.example:8443/sampark?x=1", false).is_ok());
        assert!(check_url("http://127.0.0.1:9000/x", true).is_ok());
        assert!(check_url("http://hooks.example/x", true).is_err());
        assert!(check_url("https://10.0.0.1/x", true).is_err());
    }

    #[test]
    fn pauses_grow_to_an_hour_and_are_spread() {
        for attempts in 1..40 {
            let whole = (10_i64 << (attempts - 1).min(9)).min(3600);
            let pause = retry_pause(attempts);
            assert!(
                pause >= TimeDelta::seconds(whole / 2) && pause <= TimeDelta::seconds(whole),
                "{attempts}"
            );
        }
    }
}
