//! One order, from its names to a certificate (RFC 8555, 7.4).

use super::AcmeError;
use super::challenge::Answering;
use super::client::{Account, Authorization, Order};
use super::cluster::Answers;
use super::dns::{DnsSolver, Record};
use super::keys::{CertificateKey, b64};
use super::storage::SharedAnswer;
use aws_lc_rs::digest::{SHA256, digest};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Patience with a CA that looks at a challenge.
const VALIDATION: Duration = Duration::from_secs(300);
/// Between two looks at an order or authorization, when the CA says nothing of it.
const LOOKS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// How names are proved; one kind for each resolver, as in Traefik.
pub(crate) enum Solver {
    Http { delay: Duration },
    Alpn { delay: Duration },
    Dns(DnsSolver),
}

impl Solver {
    fn kind(&self) -> &'static str {
        match self {
            Solver::Http { .. } => "http-01",
            Solver::Alpn { .. } => "tls-alpn-01",
            Solver::Dns(_) => "dns-01",
        }
    }
}

/// How a resolver wants its certificates.
pub(crate) struct Wishes {
    pub(crate) key: CertificateKey,
    pub(crate) profile: String,
    pub(crate) preferred_chain: String,
    pub(crate) emails: Vec<String>,
    pub(crate) common_name: bool,
    pub(crate) timeout: Duration,
}

/// Chain and key, both PEM.
pub(crate) struct Issued {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// Orders a certificate for `names`; `replaces` names the one that it is to follow (RFC 9773, 5).
pub(crate) async fn obtain(
    account: &Account,
    solver: &Solver,
    answers: &Answers,
    wishes: &Wishes,
    names: &[String],
    replaces: Option<&str>,
) -> Result<Issued, AcmeError> {
    if let Some(e) = account.client.unknown_profile(&wishes.profile) {
        return Err(e);
    }
    if let Solver::Dns(dns) = solver {
        // otherwise the CA would wait in vain
        dns.ready().await?;
    }
    let replaces = replaces.filter(|_| account.client.directory.renewal_info.is_some());
    let began = account.new_order(names, &wishes.profile, replaces).await;
    let (url, order) = match began {
        // the CA may not know the old one, or have seen its successor
        Err(e)
            if replaces.is_some()
                && e.status.is_some_and(|s| (400..500).contains(&s))
                && !e.is_rate_limit()
                && !e.is("accountDoesNotExist") =>
        {
            account.new_order(names, &wishes.profile, None).await?
        }
        other => other?,
    };
    if order.status == "pending" {
        authorize(account, solver, answers, &order).await?;
    }
    let deadline = Instant::now() + VALIDATION;
    let mut order = follow(account, &url, deadline, |o| o.status != "pending").await?;
    // many bits take long, and this thread has other work
    let kind = wishes.key;
    let key = tokio::task::spawn_blocking(move || kind.generate()).await.map_err(|e| AcmeError::local(e.to_string()))??;
    let deadline = Instant::now() + wishes.timeout;
    if order.status == "ready" {
        order = account.finalize(&order.finalize, &request(&key, names, wishes)?).await?;
        if order.certificate.is_none() || order.status != "valid" {
            order = follow(account, &url, deadline, |o| !matches!(o.status.as_str(), "processing" | "ready"))
                .await
                .map_err(|e| e.during(format_args!("waiting for the certificate (certificateTimeout {:?})", wishes.timeout)))?;
        }
    }
    let Some(certificate) = order.certificate.filter(|_| order.status == "valid") else {
        let why = order.error.map(super::client::Problem::into_error);
        return Err(why.unwrap_or_else(|| AcmeError::local(format!("the order ended as `{}`", order.status))));
    };
    let chain = account.certificate(&certificate, &wishes.preferred_chain).await?;
    Ok(Issued { chain, key: key.serialize_pem() })
}

/// Looks at an order until `done`, as often as the CA wants.
async fn follow(account: &Account, url: &str, deadline: Instant, done: impl Fn(&Order) -> bool) -> Result<Order, AcmeError> {
    let mut pause = LOOKS.0;
    loop {
        let (order, after) =
            timeout_at(deadline, account.read::<Order>(url)).await.map_err(|_| AcmeError::local("the CA took too long"))??;
        if done(&order) {
            return Ok(order);
        }
        let wait = after.unwrap_or(pause).clamp(LOOKS.0, Duration::from_secs(30));
        pause = (pause * 2).min(LOOKS.1);
        if Instant::now() + wait > deadline {
            return Err(AcmeError::local(format!("the order stayed `{}` for too long", order.status)));
        }
        sleep(wait).await;
    }
}

/// What is in place for one name.
struct Open {
    host: String,
    authorization: String,
    challenge: String,
    _answering: Option<Answering>,
    record: Option<Record>,
    shared: Option<SharedAnswer>,
}

/// Proves all names of an order.
async fn authorize(account: &Account, solver: &Solver, answers: &Answers, order: &Order) -> Result<(), AcmeError> {
    let mut open = Vec::new();
    let result = prove(account, solver, answers, order, &mut open).await;
    answers.withdraw(open.iter().filter_map(|o| o.shared.clone()).collect()).await;
    if let Solver::Dns(dns) = solver {
        for record in open.iter().filter_map(|o| o.record.as_ref()) {
            if let Err(e) = dns.clean_up(record).await {
                tracing::warn!(record = %record.fqdn, error = %e, "a challenge's record could not be removed");
            }
        }
    }
    result
}

async fn prove(account: &Account, solver: &Solver, answers: &Answers, order: &Order, open: &mut Vec<Open>) -> Result<(), AcmeError> {
    let thumbprint = account.key.thumbprint();
    for url in &order.authorizations {
        let (authorization, _) = account.read::<Authorization>(url).await?;
        if authorization.status == "valid" {
            continue;
        }
        let host = authorization.identifier.value;
        let shown = if authorization.wildcard { format!("*.{host}") } else { host.clone() };
        let kind = solver.kind();
        let Some(challenge) = authorization.challenges.into_iter().find(|c| c.kind == kind) else {
            return Err(AcmeError::lasting(format!("the CA does not take {kind} for `{shown}`")));
        };
        let key_authorization = format!("{}.{thumbprint}", challenge.token);
        let hash = digest(&SHA256, key_authorization.as_bytes());
        let (mut answering, mut record, mut shared) = (None, None, None);
        match solver {
            Solver::Http { .. } => {
                answering = Some(answers.challenges.answer_http(&host, &challenge.token, key_authorization.clone()));
                shared = Some(SharedAnswer::Http { host, token: challenge.token, authorization: key_authorization });
            }
            Solver::Alpn { .. } => {
                answering = Some(answers.challenges.answer_alpn(&host, hash.as_ref())?);
                shared = Some(SharedAnswer::Alpn { host, digest: hash.as_ref().to_vec() });
            }
            Solver::Dns(dns) => {
                let made = dns.present(&host, &b64(hash.as_ref())).await;
                record = Some(made.map_err(|e| AcmeError::local(e).during(format_args!("the record for `{shown}` could not be made")))?);
            }
        }
        open.push(Open { host: shown, authorization: url.clone(), challenge: challenge.url, _answering: answering, record, shared });
    }
    answers.publish(open.iter().filter_map(|o| o.shared.clone()).collect()).await?;
    match solver {
        Solver::Http { delay } | Solver::Alpn { delay } => sleep(*delay).await,
        Solver::Dns(dns) => {
            let records: Vec<&Record> = open.iter().filter_map(|o| o.record.as_ref()).collect();
            dns.wait(&records).await?;
        }
    }
    for o in open.iter() {
        account.ready(&o.challenge).await.map_err(|e| e.during(format_args!("`{}`", o.host)))?;
    }
    let deadline = Instant::now() + VALIDATION;
    for o in open.iter() {
        validated(account, o, solver.kind(), deadline).await.map_err(|e| e.during(format_args!("`{}`", o.host)))?;
    }
    Ok(())
}

async fn validated(account: &Account, open: &Open, kind: &str, deadline: Instant) -> Result<(), AcmeError> {
    let mut pause = LOOKS.0;
    loop {
        let (authorization, after) = account.read::<Authorization>(&open.authorization).await?;
        match authorization.status.as_str() {
            "valid" => return Ok(()),
            "pending" => {}
            other => {
                let problem = authorization.challenges.into_iter().find(|c| c.kind == kind).and_then(|c| c.error);
                let e = problem.map(super::client::Problem::into_error);
                return Err(
                    e.unwrap_or_else(|| AcmeError { status: Some(403), ..AcmeError::local(format!("the authorization is `{other}`")) })
                );
            }
        }
        let wait = after.unwrap_or(pause).clamp(LOOKS.0, Duration::from_secs(30));
        pause = (pause * 2).min(LOOKS.1);
        if Instant::now() + wait > deadline {
            return Err(AcmeError::local("the CA did not look at the challenge in time"));
        }
        sleep(wait).await;
    }
}

/// The request for a certificate (RFC 2986), DER.
fn request(key: &rcgen::KeyPair, names: &[String], wishes: &Wishes) -> Result<Vec<u8>, AcmeError> {
    let failed = |e: rcgen::Error| AcmeError::local(format!("the request for a certificate could not be made: {e}"));
    let mut params = rcgen::CertificateParams::new(names.to_vec()).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    // X.509 has room for 64 characters; addresses are no names
    let main = names.first().filter(|n| n.len() <= 64 && n.parse::<std::net::IpAddr>().is_err());
    if let Some(main) = main.filter(|_| wishes.common_name) {
        params.distinguished_name.push(rcgen::DnType::CommonName, main.as_str());
    }
    for email in &wishes.emails {
        let wrong = |_| AcmeError::lasting(format!("emailAddresses: `{email}` has other than ASCII characters"));
        params.subject_alt_names.push(rcgen::SanType::Rfc822Name(email.as_str().try_into().map_err(wrong)?));
    }
    params.serialize_request(key).map(|csr| csr.der().to_vec()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509CertificationRequest};

    #[test]
    fn requests_say_what_was_wished() {
        let wishes = |common_name, emails: &[&str]| Wishes {
            key: CertificateKey::Ec256,
            profile: String::new(),
            preferred_chain: String::new(),
            emails: emails.iter().map(|e| (*e).to_owned()).collect(),
            common_name,
            timeout: Duration::ZERO,
        };
        let key = CertificateKey::Ec256.generate().unwrap();
        let names = ["*.a.test".to_owned(), "192.0.2.1".to_owned()];
        let show = |w: &Wishes| {
            let der = request(&key, &names, w).unwrap();
            let (_, csr) = X509CertificationRequest::from_der(&der).unwrap();
            let sans = csr.requested_extensions().unwrap().map(|e| format!("{e:?}")).collect::<String>();
            (csr.certification_request_info.subject.to_string(), sans)
        };
        let (subject, sans) = show(&wishes(true, &["me@a.test"]));
        assert_eq!(subject, "CN=*.a.test");
        assert!(
            sans.contains("DNSName(\"*.a.test\")") && sans.contains("RFC822Name(\"me@a.test\")") && sans.contains("IPAddress"),
            "{sans}"
        );
        assert_eq!(show(&wishes(false, &[])).0, "");
        assert!(request(&key, &names, &wishes(true, &["m\u{fc}@a.test"])).unwrap_err().lasting);
    }
}
