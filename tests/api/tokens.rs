//! Access tokens: forged, malformed, under keys that are replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::TimeDelta;
use sampark::access::{KeyRing, Role, keyring};
use sampark::platform::clock::Clock;
use sampark::platform::ids::{SessionId, WorkerId};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Settings, TestApp, TestDatabase, World, noon};

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Whoever has the server's own key and can sign anything with it.
struct Forger {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    header: Value,
    claims: Value,
}

impl Forger {
    /// The token of header and claims after this change of them.
    fn token(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut claims) = (self.header.clone(), self.claims.clone());
        change(&mut header, &mut claims);
        self.sign(&base64(header.to_string()), &base64(claims.to_string()))
    }

    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64(signature))
    }

    fn hmac(&self, key: &[u8], algorithm: &str) -> String {
        let mut header = self.header.clone();
        header["alg"] = json!(algorithm);
        let signed = format!(
            "{}.{}",
            base64(header.to_string()),
            base64(self.claims.to_string())
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key);
        format!(
            "{signed}.{}",
            base64(aws_lc_rs::hmac::sign(&key, signed.as_bytes()))
        )
    }
}

async fn scene() -> (TestApp, World, Forger, Client) {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pkcs8 = pkcs8.as_ref().to_vec();
    let database = Arc::new(TestDatabase::create().await);
    let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
    let keys = KeyRing::of_pkcs8(&pkcs8).unwrap();
    let app = TestApp::start_on(database, clock, keys, Settings::default());
    let world = World::build(&app).await;
    let actor = world.actor(&app, Role::BoothWorker, "S1-B1").await;
    let parts: Vec<&str> = actor.token.split('.').collect();
    let part = |n: usize| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[n]).unwrap()).unwrap();
    let forger = Forger {
        pair: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap(),
        header: part(0),
        claims: part(1),
        pkcs8,
    };
    (app, world, forger, actor.client)
}

/// Tokens that must be refused, each with why.
fn forged(f: &Forger) -> Vec<(&'static str, String)> {
    let good = f.token(|_, _| {});
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let now = noon().timestamp();
    let set = |name: &'static str, value: Value| f.token(move |_, claims| claims[name] = value);
    let without = |name: &'static str| {
        f.token(move |_, claims| {
            claims.as_object_mut().unwrap().remove(name);
        })
    };
    let head = |name: &'static str, value: Value| f.token(move |header, _| header[name] = value);
    let mut flipped = URL_SAFE_NO_PAD.decode(signature).unwrap();
    flipped[10] ^= 1;
    let mut der = vec![0x30, 0x44];
    der.extend([0u8; 68]);
    let other = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let stranger = KeyRing::of_pkcs8(other.as_ref()).unwrap();
    let sid = SessionId(f.claims["sid"].as_str().unwrap().parse().unwrap());
    let public_key = serde_json::to_vec(&KeyRing::of_pkcs8(&f.pkcs8).unwrap().jwks()).unwrap();
    let unsigned = |algorithm: &str| {
        let header = base64(json!({"alg": algorithm, "typ": "at+jwt", "kid": f.header["kid"]}).to_string());
        format!("{header}.{claims}.")
    };
    let doubled = base64(f.claims.to_string().replacen('{', "{\"sub\":\"2\",", 1));
    vec![
        ("nothing but dots", "..".to_owned()),
        ("one part", header.to_owned()),
        ("two parts", format!("{header}.{claims}")),
        ("four parts", format!("{good}.{signature}")),
        ("an empty signature", format!("{header}.{claims}.")),
        ("an empty header", format!(".{claims}.{signature}")),
        ("an empty payload", format!("{header}..{signature}")),
        ("not base64", format!("{header}.{claims}.!!!!")),
        ("padded base64", format!("{header}.{claims}.{signature}==")),
        ("the standard alphabet", STANDARD.encode(&good)),
        (
            "a flipped bit in the signature",
            format!("{header}.{claims}.{}", base64(&flipped)),
        ),
        (
            "a cut signature",
            format!("{header}.{claims}.{}", &signature[..signature.len() - 4]),
        ),
        (
            "a signature of zeros",
            format!("{header}.{claims}.{}", base64([0u8; 64])),
        ),
        ("a DER signature", format!("{header}.{claims}.{}", base64(der))),
        ("another payload under the signature", {
            let mut claims = f.claims.clone();
            claims["sub"] = json!("2");
            format!("{header}.{}.{signature}", base64(claims.to_string()))
        }),
        ("another header under the signature", {
            let mut header = f.header.clone();
            header["x"] = json!(1);
            format!("{}.{claims}.{signature}", base64(header.to_string()))
        }),
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg nOnE", unsigned("nOnE")),
        ("alg HS256 under the public key", f.hmac(&public_key, "HS256")),
        (
            "alg HS256 under the kid",
            f.hmac(f.header["kid"].as_str().unwrap().as_bytes(), "HS256"),
        ),
        ("alg HS384", head("alg", json!("HS384"))),
        ("alg ES384", head("alg", json!("ES384"))),
        ("alg RS256", head("alg", json!("RS256"))),
        ("alg EdDSA", head("alg", json!("EdDSA"))),
        (
            "alg missing",
            f.token(|header, _| {
                header.as_object_mut().unwrap().remove("alg");
            }),
        ),
        ("typ JWT", head("typ", json!("JWT"))),
        ("typ of another case and meaning", head("typ", json!("id+jwt"))),
        (
            "typ missing",
            f.token(|header, _| {
                header.as_object_mut().unwrap().remove("typ");
            }),
        ),
        (
            "kid missing",
            f.token(|header, _| {
                header.as_object_mut().unwrap().remove("kid");
            }),
        ),
        ("kid unknown", head("kid", json!("AAAA"))),
        ("kid a path", head("kid", json!("../../dev/null"))),
        ("kid SQL", head("kid", json!("' OR 1=1 --"))),
        ("kid a number", head("kid", json!(7))),
        (
            "somebody else's key",
            stranger.sign(WorkerId(1), sid, noon()).unwrap(),
        ),
        ("somebody else's key under our kid", {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, other.as_ref()).unwrap();
            let signed = format!("{header}.{claims}");
            let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", base64(signature))
        }),
        ("its own key in jwk", {
            let jwk = stranger.jwks()["keys"][0].clone();
            let header = base64(json!({"alg": "ES256", "typ": "at+jwt", "jwk": jwk}).to_string());
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, other.as_ref()).unwrap();
            let signature = pair
                .sign(&SystemRandom::new(), format!("{header}.{claims}").as_bytes())
                .unwrap();
            format!("{header}.{claims}.{}", base64(signature))
        }),
        ("iss of another", set("iss", json!("evil"))),
        ("iss missing", without("iss")),
        ("iss null", set("iss", Value::Null)),
        ("aud of another", set("aud", json!("another-api"))),
        ("aud missing", without("aud")),
        ("aud empty", set("aud", json!(""))),
        ("aud a list of others", set("aud", json!(["a", "b"]))),
        ("sub missing", without("sub")),
        ("sub no number", set("sub", json!("admin"))),
        ("sub another worker", set("sub", json!("999999"))),
        ("sub a number", set("sub", json!(1))),
        ("sid missing", without("sid")),
        ("sid unknown", set("sid", json!(Uuid::new_v4()))),
        ("sid no uuid", set("sid", json!("x"))),
        ("client_id of another", set("client_id", json!("evil"))),
        ("client_id missing", without("client_id")),
        ("exp missing", without("exp")),
        ("exp a text", set("exp", json!("tomorrow"))),
        (
            "exp past",
            f.token(move |_, c| {
                c["iat"] = json!(now - 1000);
                c["nbf"] = json!(now - 1000);
                c["exp"] = json!(now - 100);
            }),
        ),
        (
            "exp just past the leeway",
            f.token(move |_, c| {
                c["iat"] = json!(now - 930);
                c["nbf"] = json!(now - 930);
                c["exp"] = json!(now - 30);
            }),
        ),
        ("exp too far off", set("exp", json!(now + 86_400))),
        ("exp in another age", set("exp", json!(i64::MAX))),
        ("exp negative", set("exp", json!(-1))),
        ("nbf to come", set("nbf", json!(now + 60))),
        ("nbf missing", without("nbf")),
        ("iat to come", set("iat", json!(now + 60))),
        ("iat missing", without("iat")),
        ("iat ages ago", set("iat", json!(i64::MIN))),
        ("jti missing", without("jti")),
        ("claims that are a list", f.sign(header, &base64("[]"))),
        ("claims that are no JSON", f.sign(header, &base64("{"))),
        ("a claim twice", f.sign(header, &doubled)),
        ("a header that is no JSON", f.sign(&base64("{"), claims)),
        (
            "a very long token",
            format!("{header}.{}.{signature}", "A".repeat(6000)),
        ),
        (
            "bytes that are no text",
            f.sign(header, &base64([0xff, 0xfe, 0x00])),
        ),
    ]
}

#[actix_web::test]
async fn seventy_forged_and_malformed_tokens_are_all_refused_alike() {
    let (app, _world, forger, client) = scene().await;
    client.get("/v1/me").await.expect(200);
    let resigned = forger.token(|_, _| {});
    app.with_token(&resigned).get("/v1/me").await.expect(200);
    let tokens = forged(&forger);
    assert!(tokens.len() >= 70, "{}", tokens.len());
    for (why, token) in tokens {
        let answer = app.with_token(&token).get("/v1/me").await;
        assert_eq!(answer.status, 401, "{why}: {}", answer.text());
        assert_eq!(answer.json["code"], "unauthenticated", "{why}");
        assert!(
            answer.header("www-authenticate").unwrap().starts_with("Bearer"),
            "{why}"
        );
        // It says no more than this, whatever was wrong.
        let told = answer.json["detail"].as_str().unwrap();
        let known = [
            "the access token is not valid",
            "the access token has expired",
            "the session has ended; sign in again",
        ];
        assert!(known.contains(&told), "{why}: {told}");
    }
}

#[actix_web::test]
async fn other_ways_to_send_a_token_are_refused() {
    let (app, _world, forger, _client) = scene().await;
    let good = forger.token(|_, _| {});
    let anyone = app.anonymous();
    for value in [
        good.clone(),
        format!("Basic {good}"),
        format!("Token {good}"),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer {good} {good}"),
        format!("Bearer,{good}"),
    ] {
        anyone
            .header("Authorization", &value)
            .get("/v1/me")
            .await
            .expect(401);
    }
    anyone
        .get(&format!("/v1/me?access_token={good}"))
        .await
        .expect(401);
    anyone
        .header("Cookie", &format!("access_token={good}"))
        .get("/v1/me")
        .await
        .expect(401);
    anyone
        .header("Authorization", &format!("bearer {good}"))
        .get("/v1/me")
        .await
        .expect(200);
}

/// Two servers on one database, each with a ring of its own over the same files.
struct Pair {
    apps: Vec<TestApp>,
    clock: Clock,
    worker_id: WorkerId,
    session_id: SessionId,
    done: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
}

impl Pair {
    async fn start(ring: impl Fn() -> KeyRing) -> Self {
        let database = Arc::new(TestDatabase::create().await);
        let clock = Clock::manual(chrono_tz::Asia::Kolkata, noon());
        let app = || TestApp::start_on(database.clone(), clock.clone(), ring(), Settings::default());
        let apps = vec![app(), app()];
        let world = World::build(&apps[0]).await;
        let worker_id = world.new_worker("S1-B1").await;
        let (_, session_id) = world.session(worker_id).await;
        Self {
            apps,
            clock,
            worker_id: WorkerId(worker_id),
            session_id: SessionId(session_id),
            done: Arc::default(),
            refused: Arc::default(),
            enough: Arc::default(),
        }
    }

    /// Eight callers, whose tokens come from one server and go to the other, until it is enough. Each uses a token until
    /// it is four minutes old.
    fn load(&self) -> Vec<tokio::task::JoinHandle<()>> {
        let callers = (0..8).map(|n| {
            let (from, to) = (
                self.apps[n % 2].state.access.clone(),
                self.apps[(n + 1) % 2].address,
            );
            let (clock, worker, session) = (self.clock.clone(), self.worker_id, self.session_id);
            let (done, refused, enough) = (self.done.clone(), self.refused.clone(), self.enough.clone());
            actix_web::rt::spawn(async move {
                let sign = || {
                    (
                        clock.now(),
                        from.keys().sign(worker, session, clock.now()).unwrap(),
                    )
                };
                let mut held = sign();
                let mut uses = 0;
                while !enough.load(Ordering::Relaxed) {
                    uses += 1;
                    if uses % 20 == 0 || clock.now() - held.0 > TimeDelta::minutes(4) {
                        held = sign();
                    }
                    let answer = Client::new(to, Some(held.1.clone())).get("/v1/me").await;
                    done.fetch_add(1, Ordering::Relaxed);
                    if answer.status == 401 {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        });
        callers.collect()
    }

    /// Waits until this many more requests were answered.
    async fn answered(&self, more: usize) {
        let until = self.done.load(Ordering::Relaxed) + more;
        while self.done.load(Ordering::Relaxed) < until {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass in steps so short that no token expires on its way.
    async fn pass(&self, time: TimeDelta) {
        let until = self.clock.now() + time;
        while self.clock.now() < until {
            self.clock.advance(TimeDelta::minutes(4));
            self.answered(80).await;
        }
    }

    fn reload(&self, n: usize) {
        self.apps[n].state.access.keys().reload().unwrap();
    }

    fn signers(&self) -> Vec<String> {
        let signer = |app: &TestApp| {
            app.state
                .access
                .keys()
                .signer(self.clock.now())
                .unwrap()
                .kid
                .clone()
        };
        self.apps.iter().map(signer).collect()
    }
}

#[actix_web::test]
async fn ten_thousand_requests_while_keys_are_rotated_by_command_and_none_is_refused() {
    let data_dir = std::env::temp_dir().join(format!("sampark-rotation-{}", Uuid::new_v4()));
    let pair = Pair::start(|| KeyRing::load_or_make(&data_dir).unwrap()).await;
    let callers = pair.load();
    let mut kids = vec![pair.signers()[0].clone()];
    for _ in 0..4 {
        pair.answered(150).await;
        let (kid, _) = keyring::rotate(&data_dir, pair.clock.now(), false).unwrap();
        // One server sees the new key while the other does not yet.
        pair.reload(0);
        pair.answered(150).await;
        pair.reload(1);
        assert!(
            pair.signers()
                .iter()
                .all(|signer| *signer == kids[kids.len() - 1])
        );
        pair.answered(150).await;
        pair.clock.advance(TimeDelta::seconds(61));
        assert!(pair.signers().iter().all(|signer| *signer == kid));
        kids.push(kid);
        pair.answered(150).await;
        pair.pass(TimeDelta::hours(2)).await;
    }
    pair.enough.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let done = pair.done.load(Ordering::Relaxed);
    assert!(done >= 10_000, "{done}");
    assert_eq!(pair.refused.load(Ordering::Relaxed), 0);
    let published = pair.apps[0]
        .anonymous()
        .get("/.well-known/jwks.json")
        .await
        .expect(200)
        .json;
    let count = published["keys"].as_array().unwrap().len();
    assert!((2..=3).contains(&count), "old keys go: {count}");
    std::fs::remove_dir_all(data_dir).unwrap();
}

#[actix_web::test]
async fn keys_given_by_file_are_replaced_under_load_and_no_token_is_refused() {
    let dir = std::env::temp_dir().join(format!("sampark-files-{}", Uuid::new_v4()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = |name: &str| dir.join(name);
    let fresh = || {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .unwrap()
            .as_ref()
            .to_vec()
    };
    std::fs::write(file("current"), fresh()).unwrap();
    let mut config = sampark::platform::config::Config::from_values(&Default::default(), None).unwrap();
    config.data_dir = dir.clone();
    config.signing_key_files = ["current", "next", "previous"].map(file).to_vec();
    let pair = Pair::start(|| KeyRing::open(&config).unwrap()).await;
    let callers = pair.load();
    // As docs/operating.md says: keep the old one, publish the new one, then let it sign.
    for _ in 0..3 {
        let before = pair.signers();
        std::fs::copy(file("current"), file("previous")).unwrap();
        std::fs::write(file("next.new"), fresh()).unwrap();
        std::fs::rename(file("next.new"), file("next")).unwrap();
        for n in [0, 1] {
            pair.answered(200).await;
            pair.reload(n);
        }
        assert_eq!(pair.signers(), before);
        std::fs::copy(file("next"), file("current.new")).unwrap();
        std::fs::rename(file("current.new"), file("current")).unwrap();
        for n in [1, 0] {
            pair.answered(200).await;
            pair.reload(n);
        }
        assert!(pair.signers().iter().all(|signer| *signer != before[0]));
        pair.pass(TimeDelta::minutes(16)).await;
    }
    pair.enough.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(pair.refused.load(Ordering::Relaxed), 0);
    std::fs::remove_dir_all(dir).unwrap();
}

#[actix_web::test]
async fn a_leaked_key_is_removed_at_once_and_its_tokens_with_it() {
    let data_dir = std::env::temp_dir().join(format!("sampark-leak-{}", Uuid::new_v4()));
    let pair = Pair::start(|| KeyRing::load_or_make(&data_dir).unwrap()).await;
    let token = || {
        let keys = pair.apps[0].state.access.keys();
        keys.sign(pair.worker_id, pair.session_id, pair.clock.now())
            .unwrap()
    };
    let leaked = token();
    pair.apps[0].with_token(&leaked).get("/v1/me").await.expect(200);
    keyring::rotate(&data_dir, pair.clock.now(), true).unwrap();
    // The watch, as in the program, looks at the files again within five seconds; also what was verified before is void.
    let watch = sampark::access::Watch::start(&pair.apps[0].state.access);
    let began = Instant::now();
    while pair.apps[0].with_token(&leaked).get("/v1/me").await.status == 200 {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::task::yield_now().await;
    }
    pair.apps[0].with_token(&token()).get("/v1/me").await.expect(200);
    watch.stop().await;
    std::fs::remove_dir_all(data_dir).unwrap();
}
