//! The TCP middlewares, a file each. A new one is a file with [`TcpMiddlewareSpec`](torana_extend::TcpMiddlewareSpec)
//! and one word in the list below.

use torana_extend::TcpMiddlewareKind;

macro_rules! middlewares {
    ($($module:ident::$spec:ident),* $(,)?) => {
        $(pub mod $module;)*
        /// Every kind that this crate knows, in the order of the list.
        pub const KINDS: &[TcpMiddlewareKind] = &[$(TcpMiddlewareKind::of::<$module::$spec>()),*];
    };
}

middlewares! {
    in_flight_conn::InFlightConn,
    ip_allow_list::IpAllowList,
    ip_white_list::IpWhiteList,
}

/// The kind that is spelled `name`; case does not matter.
pub fn kind(name: &str) -> Option<&'static TcpMiddlewareKind> {
    KINDS.iter().find(|k| k.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::yaml;

    #[test]
    fn examples_build_and_show_and_nothing_unknown_is_taken() {
        for k in KINDS {
            let key = format!("tcp.middlewares.m.{}", k.name);
            assert!((k.build)(&yaml(k.example), &key).is_ok(), "{}", k.name);
            let shown = (k.show)(&yaml(k.example), &key).unwrap();
            assert!((k.build)(&yaml(&shown.to_string()), &key).is_ok(), "{}", k.name);
            let told = (k.build)(&yaml(&format!("{}nothere: 1\n", k.example)), &key).err().unwrap();
            assert!(told[0].to_string().contains("nothere"), "{}: {told:?}", k.name);
            assert_eq!(kind(&k.name.to_uppercase()).map(|k| k.name), Some(k.name));
        }
        assert!(kind("nothere").is_none());
    }
}
