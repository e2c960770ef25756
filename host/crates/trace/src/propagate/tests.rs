//! What comes out was recorded from Traefik 3.7.15, but for the ids.

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
    all.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())).collect()
}

fn carried(propagators: &[Propagator], brought: &[(&'static str, &str)]) -> Carried {
    let mut carried = Carried::default();
    propagators.iter().for_each(|p| p.extract(&headers(brought), &mut carried));
    carried
}

/// Trace, flags and state of the parent.
fn parent(propagator: Propagator, brought: &[(&'static str, &str)]) -> Option<(String, u8, String)> {
    carried(&[propagator], brought).parent.map(|c| (c.trace.to_string(), c.flags, c.state.to_string()))
}

/// What goes out behind what was brought.
fn out(propagators: &[Propagator], brought: &[(&'static str, &str)]) -> Vec<(String, String)> {
    let carried = carried(propagators, brought);
    let context = carried.parent.clone().unwrap_or(Context {
        trace: crate::TraceId::from_hex(TRACE).unwrap(),
        span: crate::SpanId::from_hex(SPAN).unwrap(),
        flags: 1,
        state: Default::default(),
    });
    let mut map = HeaderMap::new();
    propagators.iter().for_each(|p| p.inject(&context, &carried, &mut map));
    map.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect()
}

#[test]
fn trace_context() {
    let read = |v: &str| parent(Propagator::TraceContext, &[("traceparent", v), ("tracestate", "a=b, c=d")]);
    for (flags, kept) in [("00", 0), ("01", 1), ("02", 2), ("03", 3)] {
        assert_eq!(read(&format!("00-{TRACE}-{SPAN}-{flags}")), Some((TRACE.into(), kept, "a=b,c=d".into())));
    }
    assert_eq!(read(&format!("01-{TRACE}-{SPAN}-05-x")).unwrap().1, 1);
    for bad in [
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("00-{TRACE}-{SPAN}-01-x"),
        format!("00-{TRACE}-{SPAN}-04"),
        format!("00-{TRACE}-{SPAN}"),
        "junk".into(),
        String::new(),
    ] {
        assert_eq!(read(&bad), None, "{bad}");
    }
}

#[test]
fn trace_state() {
    let parent_of = format!("00-{TRACE}-{SPAN}-01");
    let read = |v: &str| parent(Propagator::TraceContext, &[("traceparent", &parent_of), ("tracestate", v)]).unwrap().2;
    for (state, kept) in [("a=b\t,c=d ", "a=b,c=d"), ("a=b,,c=d", "a=b,c=d"), ("t1@s=v", "t1@s=v")] {
        assert_eq!(read(state), kept);
    }
    let many: Vec<String> = (0..33).map(|i| format!("k{i}=v")).collect();
    for bad in ["", "A=b", "a=b,a=c", "a b", &many.join(",")] {
        assert_eq!(read(bad), "", "{bad}");
    }
}

#[test]
fn baggage() {
    let read = |v: &str| carried(&[Propagator::Baggage], &[("baggage", v)]).baggage.map(|v| v.to_str().unwrap().to_owned());
    for (brought, kept) in [("k=v,  n=m;p=q", "k=v,n=m;p=q"), ("a=%20b", "a=%20b"), ("a=b,a=c", "a=c"), ("a=b, ,c=d", "a=b,c=d")] {
        assert_eq!(read(brought).as_deref(), Some(kept));
    }
    for bad in ["", "a", "=b", "k v=1", "a=b c", "a=\"x\""] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn b3() {
    let single = format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90");
    assert_eq!(out(&[Propagator::B3], &[("b3", &single)]), [("b3".to_owned(), format!("{TRACE}-{SPAN}-1"))]);
    assert_eq!(out(&[Propagator::B3], &[("x-b3-flags", "1")])[0].1, format!("{TRACE}-{SPAN}-d"));
    assert_eq!(parent(Propagator::B3, &[("b3", "0")]), None);
    let multi = [("x-b3-traceid", "8448eb211c80319c"), ("x-b3-spanid", SPAN), ("x-b3-sampled", "1")];
    for p in [Propagator::B3, Propagator::B3Multi] {
        assert_eq!(parent(p, &multi).unwrap().0, "00000000000000008448eb211c80319c");
    }
    assert_eq!(
        out(&[Propagator::B3Multi], &multi),
        [
            ("x-b3-traceid".to_owned(), "00000000000000008448eb211c80319c".to_owned()),
            ("x-b3-spanid".into(), SPAN.into()),
            ("x-b3-sampled".into(), "1".into())
        ]
    );
}

#[test]
fn others() {
    let jaeger = format!("{}:{SPAN}:0:1", &TRACE[1..]);
    assert_eq!(out(&[Propagator::Jaeger], &[("uber-trace-id", &jaeger)])[0].1, format!("{TRACE}:{SPAN}:0:1"));
    let xray = format!("Root=1-{}-{};Parent={SPAN};Sampled=1", &TRACE[..8], &TRACE[8..]);
    assert_eq!(out(&[Propagator::Xray], &[("x-amzn-trace-id", &xray)])[0].1, xray);
    let ot = [("ot-tracer-traceid", "8448eb211c80319c"), ("ot-tracer-spanid", SPAN), ("ot-tracer-sampled", "true")];
    let sent = out(&[Propagator::OtTrace], &ot);
    assert_eq!(sent.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>(), ["8448eb211c80319c", SPAN, "true"]);
    assert_eq!(out(&[Propagator::B3, Propagator::TraceContext], &[]).len(), 2);
}
