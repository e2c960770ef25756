use super::*;
use crate::acme::keys::AccountKey;

/// A certificate for `names`, and its key.
fn pair(names: &[&str]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    (rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A file in the form of Traefik 3.7.15 (what its own run against a CA left), with fields that nobody knows.
fn as_traefik_writes(key: &AccountKey) -> String {
    let (chain, private) = pair(&["a.test", "b.test"]);
    let (chain, private) = (BASE64_STANDARD.encode(chain), BASE64_STANDARD.encode(private));
    let key = BASE64_STANDARD.encode(key.der());
    format!(
        r#"{{
  "le": {{
    "Account": {{
      "Email": "a@example.com",
      "Registration": {{
        "body": {{ "status": "valid", "contact": [ "mailto:a@example.com" ], "orders": "https://ca.test/orders/1" }},
        "uri": "https://ca.test/account/1"
      }},
      "PrivateKey": "{key}",
      "KeyType": "4096"
    }},
    "Certificates": [
      {{ "domain": {{ "main": "a.test", "sans": [ "b.test" ] }}, "certificate": "{chain}", "key": "{private}", "Store": "default", "Later": 1 }}
    ],
    "Future": true
  }},
  "other": {{ "Account": null, "Certificates": null }}
}}"#
    )
}

fn in_dir(text: &str, mode: u32) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acme.json");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

#[test]
fn a_file_of_traefik_is_taken_over_and_stays_whole() {
    let key = AccountKey::generate().unwrap();
    let (dir, path) = in_dir(&as_traefik_writes(&key), 0o600);
    let files = StorageFiles::default();
    let storage = files.open(&path).unwrap();
    let stored = storage.load("le").unwrap();
    let account = stored.account.clone().unwrap();
    assert_eq!((account.email.as_str(), account.uri.as_str()), ("a@example.com", "https://ca.test/account/1"));
    assert_eq!(AccountKey::from_der(&account.key).unwrap().thumbprint(), key.thumbprint());
    assert_eq!(stored.certificates[0].domains, ["a.test", "b.test"]);
    assert_eq!(stored.unreadable, [""; 0]);

    let (chain, private) = pair(&["c.test"]);
    let new = StoredCertificate { domains: vec!["c.test".into()], chain, key: private, store: "default".into() };
    storage.put_certificate("le", &new).unwrap();
    storage.put_account("le", &account, "").unwrap();
    let (chain, private) = pair(&["a.test", "b.test"]);
    let renewed = StoredCertificate { chain, key: private, ..stored.certificates[0].clone() };
    storage.put_certificate("le", &renewed).unwrap();
    storage.put_certificate("mine", &new).unwrap();

    let again = files.open(&path).unwrap().load("le").unwrap();
    assert_eq!(again.certificates, [renewed, new.clone()]);
    assert_eq!(again.account, stored.account);
    let all: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!((&all["le"]["Future"], &all["le"]["Account"]["KeyType"]), (&json!(true), &json!("4096")));
    assert_eq!(all["le"]["Certificates"][0]["Later"], 1);
    assert_eq!(all["other"], json!({ "Account": null, "Certificates": null }));
    assert_eq!(all["mine"]["Certificates"][0]["domain"], json!({ "main": "c.test" }));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_new_file_is_for_its_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acme.json").display().to_string();
    let storage = StorageFiles::default().open(&path).unwrap();
    assert_eq!(storage.load("le").unwrap(), Stored::default());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let missing = dir.path().join("no/acme.json").display().to_string();
    let e = StorageFiles::default().open(&missing).unwrap_err().to_string();
    assert!(e.starts_with("unable to get ACME account: open ") && e.contains("No such file"), "{e}");
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    for mode in [0o644, 0o640, 0o604, 0o660] {
        let (_dir, path) = in_dir("{}", mode);
        let e = StorageFiles::default().open(&path).unwrap_err().to_string();
        assert!(e.ends_with(&format!("permissions {mode:o} for {path} are too open, please use 600")), "{e}");
    }
}

#[test]
fn a_damaged_file_is_never_written() {
    for text in ["{\"le\": ", "[]", "not json"] {
        let (_dir, path) = in_dir(text, 0o600);
        let e = StorageFiles::default().open(&path).unwrap_err();
        assert!(e.lasting && e.to_string().contains("damaged"), "{e}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // damaged while running
    let (_dir, path) = in_dir("{}", 0o600);
    let storage = StorageFiles::default().open(&path).unwrap();
    fs::write(&path, "{\"le").unwrap();
    let account = StoredAccount { email: String::new(), uri: String::new(), body: Value::Null, key: vec![1] };
    assert!(storage.put_account("le", &account, "").is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"le");
}

#[test]
fn one_bad_entry_does_not_lose_the_others() {
    let key = AccountKey::from_der(rcgen::KeyPair::generate().unwrap().serialized_der()).unwrap();
    let mut all: Value = serde_json::from_str(&as_traefik_writes(&key)).unwrap();
    let bad = json!({ "domain": { "main": "bad.test" }, "certificate": "AAAA", "key": "AAAA", "Store": "default" });
    all["le"]["Certificates"].as_array_mut().unwrap().insert(0, bad.clone());
    let (_dir, path) = in_dir(&all.to_string(), 0o600);
    let storage = StorageFiles::default().open(&path).unwrap();
    let stored = storage.load("le").unwrap();
    assert_eq!((stored.certificates.len(), stored.unreadable.len()), (1, 1));
    storage.put_account("le", &stored.account.unwrap(), "").unwrap();
    let after: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(after["le"]["Certificates"][0], bad);
}

#[test]
fn a_link_stays_a_link() {
    let (dir, path) = in_dir("", 0o600);
    let link = dir.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let storage = StorageFiles::default().open(&link.display().to_string()).unwrap();
    storage.put_account("le", &StoredAccount { email: "x".into(), uri: String::new(), body: Value::Null, key: vec![1] }, "").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&path).unwrap().contains("\"Email\": \"x\""));
}

#[test]
fn several_resolvers_write_one_file() {
    let (_dir, path) = in_dir("", 0o600);
    let files = StorageFiles::default();
    let stores: Vec<_> = (0..8).map(|_| files.open(&path).unwrap()).collect();
    std::thread::scope(|s| {
        for (i, storage) in stores.iter().enumerate() {
            s.spawn(move || {
                let account = StoredAccount { email: format!("{i}"), uri: String::new(), body: Value::Null, key: vec![1] };
                storage.put_account(&format!("r{i}"), &account, "").unwrap();
            });
        }
    });
    let all: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(all.as_object().unwrap().len(), 8);
}
