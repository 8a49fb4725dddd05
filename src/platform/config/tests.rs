use super::*;

fn read(name: &'static str, value: &str) -> Result<Config, ConfigError> {
    Config::from_values(&BTreeMap::from([(name, value.to_owned())]), None)
}

#[test]
fn an_empty_environment_is_a_working_configuration() {
    let config = Config::from_values(&BTreeMap::new(), None).unwrap();
    assert!(config.database_url.is_none());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.time_zone, chrono_tz::Asia::Kolkata);
}

#[test]
fn a_bad_value_is_named() {
    for (name, value) in [
        ("SAMPARK_LISTEN", "8080"),
        ("SAMPARK_DATABASE_POOL", "1"),
        ("SAMPARK_DATABASE_WAIT_MS", "99"),
        ("SAMPARK_DURABILITY", "hope"),
        ("SAMPARK_OTP_SENDER", "pigeon"),
        ("SAMPARK_OTP_SENDER", "file:"),
        ("SAMPARK_OTP_SENDER", "https://sms.example/send"),
        ("SAMPARK_OTP_SENDER", "http://sms.example/send"),
        ("SAMPARK_OTP_PER_HOUR", "0"),
        ("SAMPARK_RATE_ACCOUNT", "0"),
        ("SAMPARK_BODY_SECONDS", "21"),
        ("SAMPARK_CORS_ORIGINS", "*"),
        ("SAMPARK_TRUSTED_PROXIES", "everyone"),
        ("SAMPARK_TLS_CERT_FILE", "cert.pem"),
        ("SAMPARK_TIME_ZONE", "India"),
        ("SAMPARK_PHONE_PREFIXES", "91"),
        ("SAMPARK_LOG_FORMAT", "xml"),
    ] {
        let message = read(name, value).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{name}={value:?}")), "{message}");
    }
}

#[test]
fn a_gateway_needs_a_key_and_https() {
    let with_key = |sender: &str, key: &str| {
        let values = [("SAMPARK_OTP_SENDER", sender), ("SAMPARK_OTP_GATEWAY_KEY", key)];
        Config::from_values(&values.map(|(name, value)| (name, value.to_owned())).into(), None)
    };
    let key = "k".repeat(32);
    assert!(with_key("https://sms.example/send", &key).is_ok());
    assert!(with_key("http://127.0.0.1:9000/send", &key).is_ok());
    for (sender, key) in [
        ("https://sms.example/send", &key[1..]),
        ("http://sms.example/send", &key),
        ("http://localhost.evil.example/send", &key),
        ("https://", &key),
    ] {
        let error = with_key(sender, key).unwrap_err().to_string();
        assert!(!error.contains(key), "{error}");
    }
}

#[test]
fn the_database_url_cannot_be_printed() {
    let config = read("DATABASE_URL", "postgres://sampark:hush@db/sampark").unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}
