use super::*;
use crate::testing::{block_on, build, build_error, drive, exchange, ok, pieces, shown};

fn failing(_: &mut Exchange) -> Response {
    exchange::status(StatusCode::INTERNAL_SERVER_ERROR)
}

#[test]
fn refuses_while_it_is_open() {
    for (code, body) in [(503, "Service Unavailable"), (418, "I'm a teapot"), (599, "")] {
        let steps = build::<CircuitBreaker>(&format!("{{expression: 'ResponseCodeRatio(500, 600, 0, 600) > 0.5', responseCode: {code}}}"));
        block_on(async {
            assert_eq!(drive(&steps, exchange("GET", "/"), failing).await.status(), 500);
            let refused = drive(&steps, exchange("GET", "/"), ok).await;
            assert_eq!((refused.status(), &*refused.body, refused.reached), (code, body, false));
            assert!(refused.headers().is_empty());
        });
    }
}

#[test]
fn a_response_counts_when_it_has_ended() {
    let steps = build::<CircuitBreaker>("expression: ResponseCodeRatio(500, 600, 0, 600) > 0.5");
    let streaming = |_: &mut Exchange| {
        let mut r = Response::new(pieces(&["a", "b"], None));
        *r.status_mut() = StatusCode::BAD_GATEWAY;
        r
    };
    block_on(async {
        let endpoint = crate::testing::Fake(Box::new(streaming));
        let cut = torana_http::run(&steps, &endpoint, &mut exchange("GET", "/")).await;
        drop(cut);
        let running = torana_http::run(&steps, &endpoint, &mut exchange("GET", "/")).await;
        assert_eq!(drive(&steps, exchange("GET", "/"), streaming).await.status(), 502);
        assert_eq!(drive(&steps, exchange("GET", "/"), ok).await.status(), 503);
        drop(running);
    });
}

#[test]
fn options() {
    assert_eq!(build_error::<CircuitBreaker>("expression: ''").key, "expression");
    assert_eq!(build_error::<CircuitBreaker>("expression: '!(NetworkErrorRatio() > 0.5)'").key, "expression");
    for code in [0, -1, 99, 101, 1000] {
        assert_eq!(build_error::<CircuitBreaker>(&format!("{{expression: NetworkErrorRatio() > 0.5, responseCode: {code}}}")).key, "responseCode");
    }
    for (text, json) in [
        (
            "expression: NetworkErrorRatio() > 0.5",
            r#"{"expression":"NetworkErrorRatio() > 0.5","checkPeriod":"100ms","fallbackDuration":"10s","recoveryDuration":"10s","responseCode":503}"#,
        ),
        ("{expression: x, checkPeriod: 0, fallbackDuration: -1s, recoveryDuration: 0s, responseCode: 0}", r#"{"expression":"x","fallbackDuration":"-1s"}"#),
    ] {
        assert_eq!(shown::<CircuitBreaker>(text), json);
    }
}
