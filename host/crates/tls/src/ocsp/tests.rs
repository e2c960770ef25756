use super::*;
use crate::testing::make;
use message::Answer;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::time::UNIX_EPOCH;
use torana_extend::SendFuture;

const CHAIN: &[u8] = include_bytes!("testdata/chain.pem");
const KEY: &[u8] = include_bytes!("testdata/leaf.key");
const GOOD: &[u8] = include_bytes!("testdata/good.der");
const DELEGATED: &[u8] = include_bytes!("testdata/delegated.der");

/// An hour after the answers were made; they hold for ten days.
fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_440_599 + 3600)
}

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 24 * 3600)
}

fn question(pem: &[u8]) -> Question {
    Question::of(&CertificateDer::pem_slice_iter(pem).map(Result::unwrap).collect::<Vec<_>>()).unwrap()
}

fn verified(der: &[u8], at: SystemTime) -> Result<Answer, &'static str> {
    verify(der, &question(CHAIN), &crate::provider().signature_verification_algorithms, at)
}

#[test]
fn the_question_is_what_openssl_asks() {
    let q = question(CHAIN);
    assert_eq!((q.url.as_str(), q.to_der().as_slice()), ("http://ocsp.test/a", &include_bytes!("testdata/leaf.req")[..]));
    assert!(Question::of(&make("a.test", &[]).certificate().key().cert).is_none());
}

#[test]
fn only_the_issuer_vouches_for_a_certificate() {
    for good in [GOOD, DELEGATED] {
        let answer = verified(good, now()).unwrap();
        assert_eq!(answer.next_update, answer.this_update + days(10));
        assert_eq!(verified(good, now() + days(10)), Err("the answer is out of date"));
        assert!(verified(good, now() - days(1)).is_err());
    }
    let unsigned = Err("the answer is not signed by the issuer of the certificate");
    assert_eq!(verified(include_bytes!("testdata/stranger.der"), now()), unsigned);
    assert_eq!(verified(include_bytes!("testdata/not-a-signer.der"), now()), unsigned);
    let about_others = Err("the answer is about another certificate");
    assert_eq!(verified(include_bytes!("testdata/revoked.der"), now()), about_others);
    assert_eq!(verified(include_bytes!("testdata/unknown.der"), now()), about_others);
    let revoked = question(include_bytes!("testdata/revoked-chain.pem"));
    let algorithms = crate::provider().signature_verification_algorithms;
    let told = verify(include_bytes!("testdata/revoked.der"), &revoked, &algorithms, now());
    assert_eq!(told, Err("the certificate is revoked"));
    assert_eq!(verified(&[0x30, 3, 10, 1, 3], now()), Err("the responder asks to try later"));
}

#[test]
fn no_damage_goes_unseen_or_panics() {
    for at in 0..GOOD.len() {
        let mut damaged = GOOD.to_vec();
        damaged[at] ^= 0x55;
        // Only the signer's certificate beside the signature may change.
        if let Ok(answer) = verified(&damaged, now()) {
            assert_eq!(Ok(answer), verified(GOOD, now()));
            assert!(at > GOOD.len() / 3, "{at}");
        }
        assert!(verified(&GOOD[..at], now()).is_err());
    }
}

/// Answers what it was told to, and counts.
struct Responder {
    answer: Mutex<Result<&'static [u8], EgressError>>,
    asked: Mutex<Vec<(String, Bytes)>>,
}

impl Egress for Responder {
    fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
        _: usize,
    ) -> SendFuture<'static, Result<http::Response<Bytes>, EgressError>> {
        self.asked.lock().unwrap().push((request.uri().to_string(), request.into_body()));
        let answer = match &*self.answer.lock().unwrap() {
            Ok(der) => Ok(http::Response::new(Bytes::from_static(der))),
            Err(_) => Err(EgressError::Timeout),
        };
        Box::pin(async move { answer })
    }
}

#[test]
fn answers_are_fetched_kept_and_dropped_in_time() {
    let responder = Arc::new(Responder { answer: Mutex::new(Ok(GOOD)), asked: Mutex::default() });
    let overrides = [("http://ocsp.test/a".to_owned(), "http://other.test/b".to_owned())].into();
    let stapler = Stapler::new(responder.clone(), overrides);
    let leaf = Arc::new(Certificate::from_pem(CHAIN, KEY).unwrap());
    let all = [leaf.clone(), make("a.test", &[]).certificate()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let round = |certificates: &[Arc<Certificate>], at: SystemTime| runtime.block_on(stapler.refresh(certificates, at));
    let asked = || std::mem::take(&mut *responder.asked.lock().unwrap()).len();
    let stapled = |at| stapler.staple_at(leaf.clone(), at).key().ocsp.clone();

    assert!(round(&all, now()));
    assert_eq!(responder.asked.lock().unwrap()[0].0, "http://other.test/b");
    assert_eq!((asked(), stapled(now()).as_deref()), (1, Some(GOOD)));
    assert_eq!(stapler.staple_at(leaf.clone(), now()).names(), leaf.names());
    assert!(!round(&all, now() + days(4)));
    assert_eq!(asked(), 0);
    // half of its time has passed: asked again, and nothing else is known
    assert!(!round(&all, now() + days(5)));
    assert_eq!(asked(), 1);
    *responder.answer.lock().unwrap() = Ok(DELEGATED);
    assert!(round(&all, now() + days(6)));
    assert_eq!((asked(), stapled(now() + days(6)).as_deref()), (1, Some(DELEGATED)));
    // a responder that fails is left alone for a while, and what it said stays
    *responder.answer.lock().unwrap() = Err(EgressError::Timeout);
    assert!(!round(&all, now() + days(7)) && !round(&all, now() + days(7)));
    assert_eq!((asked(), stapled(now() + days(7)).as_deref()), (1, Some(DELEGATED)));
    // until its end
    assert!(round(&all, now() + days(10)));
    assert_eq!((asked(), stapled(now() + days(10))), (1, None));
    // gone for a moment, and for long
    *responder.answer.lock().unwrap() = Ok(GOOD);
    assert!(round(&all, now()));
    assert!(!round(&[], now() + days(1) - Duration::from_secs(1)) && stapled(now()).is_some());
    round(&[], now() + days(1));
    assert_eq!((asked(), stapled(now())), (1, None));
}
