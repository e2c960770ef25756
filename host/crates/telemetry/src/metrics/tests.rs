use super::*;
use http::Method;
use std::time::Duration;

fn metrics(headers: &[(&str, &'static str)]) -> Metrics {
    Metrics::new(Options {
        views: vec![View { buckets: vec![0.1, 5.0], ..all(Audience::Prometheus) }],
        internals: false,
        header_labels: headers.iter().map(|(l, h)| ((*l).to_owned(), HeaderName::from_static(h))).collect(),
        workers: 2,
    })
}

fn all(audience: Audience) -> View {
    View { audience, buckets: vec![0.1], entry_points: true, routers: true, services: true }
}

fn scrape(m: &Metrics) -> String {
    let mut text = Text::default();
    m.read(&mut text, &m.options().views[0]);
    text.finish()
}

fn hit(scope: &Scope, headers: &str) {
    let kind = Kind::of(&Method::GET, &HeaderMap::new(), None);
    scope.record(&Ended { kind, code: 200, took: Duration::from_millis(200), received: 1, sent: 2, headers });
}

#[test]
fn a_scrape_has_traefiks_names_and_labels() {
    let m = metrics(&[]);
    hit(&m.entry_point(&"web".into()).unwrap(), "");
    hit(&m.router(&"r@file".into(), &"s@file".into()).unwrap(), "");
    let service = m.service(&"s@file".into()).unwrap();
    hit(&service, "");
    service.record_tls("1.3", "TLS_AES_128_GCM_SHA256");
    m.connections(&"web".into()).up();
    m.set_certificates(vec![Certificate { cn: "a".into(), serial: "12".into(), sans: "a,b".into(), not_after: 9 }]);
    let text = scrape(&m);
    for line in [
        "traefik_config_reloads_total 0",
        "traefik_entrypoint_requests_total{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\"} 1",
        "traefik_entrypoint_request_duration_seconds_bucket{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\",le=\"0.1\"} 0",
        "traefik_entrypoint_request_duration_seconds_bucket{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\",le=\"5\"} 1",
        "traefik_entrypoint_request_duration_seconds_sum{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\"} 0.2",
        "traefik_router_requests_bytes_total{code=\"200\",method=\"GET\",protocol=\"http\",router=\"r@file\",service=\"s@file\"} 1",
        "traefik_service_responses_bytes_total{code=\"200\",method=\"GET\",protocol=\"http\",service=\"s@file\"} 2",
        "traefik_service_requests_tls_total{service=\"s@file\",tls_cipher=\"TLS_AES_128_GCM_SHA256\",tls_version=\"1.3\"} 1",
        "traefik_open_connections{entrypoint=\"web\",protocol=\"TCP\"} 1",
        "traefik_tls_certs_not_after{cn=\"a\",sans=\"a,b\",serial=\"12\"} 9",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nin\n{text}");
    }
}

#[test]
fn each_family_stands_once_and_its_samples_below_it() {
    let m = metrics(&[]);
    for name in ["b@file", "a@file"] {
        hit(&m.service(&name.into()).unwrap(), "");
    }
    let text = scrape(&m);
    let mut seen = Vec::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap();
            assert!(!seen.contains(&family), "{family} twice");
            seen.push(family);
        } else if !line.starts_with('#') {
            assert!(line.starts_with(family), "{line} below {family}");
        }
    }
    assert!(text.find("service=\"a@file\"").unwrap() < text.find("service=\"b@file\"").unwrap());
}

#[test]
fn what_a_reload_removes_is_shown_once_more() {
    let m = metrics(&[]);
    hit(&m.service(&"old@file".into()).unwrap(), "");
    hit(&m.router(&"old@file".into(), &"old@file".into()).unwrap(), "");
    m.reloaded(|_, _| false, |_| false);
    let first = scrape(&m);
    assert!(first.contains("router=\"old@file\"") && first.contains("traefik_service_requests_total"), "{first}");
    let second = scrape(&m);
    assert!(!second.contains("old@file"), "{second}");
    assert!(second.contains("traefik_config_reloads_total 1"));
}

#[test]
fn a_router_that_changes_its_service_leaves_no_series_behind() {
    let m = metrics(&[]);
    for service in ["old@file", "new@file"] {
        hit(&m.router(&"r@file".into(), &service.into()).unwrap(), "");
    }
    m.reloaded(|name, service| (name, service) == ("r@file", "new@file"), |_| true);
    let first = scrape(&m);
    assert!(first.contains("service=\"old@file\"") && first.contains("service=\"new@file\""), "{first}");
    let second = scrape(&m);
    assert!(!second.contains("old@file") && second.contains("router=\"r@file\",service=\"new@file\""), "{second}");
}

#[test]
fn what_comes_back_before_a_scrape_goes_on() {
    let m = metrics(&[]);
    hit(&m.service(&"s@file".into()).unwrap(), "");
    m.reloaded(|_, _| false, |_| false);
    let again = m.service(&"s@file".into()).unwrap();
    m.reloaded(|_, _| true, |_| true);
    hit(&again, "");
    for _ in 0..2 {
        assert!(scrape(&m).contains("traefik_service_requests_total{code=\"200\",method=\"GET\",protocol=\"http\",service=\"s@file\"} 2"));
    }
}

#[test]
fn what_is_gone_is_told_to_each_who_is_told_at_intervals() {
    let audiences = [Audience::Prometheus, Audience::StatsD, Audience::InfluxDb];
    let options = Options { views: audiences.map(all).to_vec(), ..metrics(&[]).options().clone() };
    let m = Metrics::new(options);
    hit(&m.service(&"s@file".into()).unwrap(), "");
    m.reloaded(|_, _| false, |_| false);
    let tells = |view: usize| {
        let mut text = Text::default();
        m.read(&mut text, &m.options().views[view]);
        text.finish().contains("s@file")
    };
    // Who scrapes is not waited for, and does not make it go.
    assert!(tells(0) && tells(1) && tells(0) && tells(1));
    m.reloaded(|_, _| false, |_| false);
    assert!(tells(2) && !tells(0) && !tells(1) && !tells(2));
    hit(&m.service(&"s@file".into()).unwrap(), "");
    m.reloaded(|_, _| false, |_| false);
    m.never_told(Audience::InfluxDb);
    assert!(tells(1) && !tells(1));
}

/// Else they would stay for ever.
#[test]
fn what_is_gone_does_not_wait_for_who_is_not_told_of_it() {
    let without = View { routers: false, ..all(Audience::StatsD) };
    let m = Metrics::new(Options { views: vec![all(Audience::Prometheus), without], ..metrics(&[]).options().clone() });
    let told = |view: usize| {
        let mut text = Text::default();
        m.read(&mut text, &m.options().views[view]);
        let text = text.finish();
        (text.contains("r@file"), text.contains("s@file"))
    };
    hit(&m.router(&"r@file".into(), &"s@file".into()).unwrap(), "");
    m.reloaded(|_, _| false, |_| false);
    assert_eq!((told(0).0, told(0).0), (true, false));
    hit(&m.service(&"s@file".into()).unwrap(), "");
    m.reloaded(|_, _| false, |_| false);
    assert_eq!([told(0), told(0), told(1), told(1), told(0)].map(|t| t.1), [true, true, true, false, false]);
}

#[test]
fn what_begins_anew_has_another_number() {
    let m = metrics(&[]);
    let first = m.service(&"s@file".into()).unwrap().number();
    assert_eq!(m.service(&"s@file".into()).unwrap().number(), first);
    m.reloaded(|_, _| false, |_| false);
    scrape(&m);
    assert_ne!(m.service(&"s@file".into()).unwrap().number(), first);
}

#[test]
fn headers_make_labels_of_requests_only() {
    let m = metrics(&[("ua", "user-agent"), ("zz", "x-z")]);
    let headers = HeaderMap::from_iter([(http::header::USER_AGENT, HeaderValue::from_static("a\"b"))]);
    let values = m.header_values(&headers);
    hit(&m.entry_point(&"web".into()).unwrap(), &values);
    let text = scrape(&m);
    let expected =
        "traefik_entrypoint_requests_total{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\",ua=\"a\\\"b\",zz=\"\"} 1";
    assert!(text.contains(expected), "{text}");
    assert!(text.contains("traefik_entrypoint_requests_bytes_total{code=\"200\",entrypoint=\"web\",method=\"GET\",protocol=\"http\"} 1"));
}
