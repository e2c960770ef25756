//! Labels that concern the provider itself: `traefik.docker.…` and `traefik.swarm.…`.

use std::collections::BTreeMap;

/// Prefixes of labels, the one that wins last.
const ROOTS: [&str; 2] = ["traefik.", "torana."];

/// Which provider reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Docker,
    Swarm,
}

/// What a container or a service says of itself to the provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Specific {
    /// Whose addresses are used.
    pub network: Option<String>,
    /// Keep its routers while it does not run.
    pub allow_non_running: bool,
    /// Swarm: one server, the service's virtual address.
    pub lb_swarm: bool,
    /// Labels of a swarm's service that are called as they were in Traefik v2.
    pub legacy: bool,
}

impl Specific {
    pub(crate) fn read(labels: &BTreeMap<String, String>, reader: Reader) -> Result<Specific, String> {
        let mut out = Specific::default();
        let mut families = [false; 2];
        for root in ROOTS {
            for (label, value) in labels.range(root.to_owned()..).take_while(|(l, _)| l.starts_with(root)) {
                let Some((family, option)) = label[root.len()..].split_once('.') else { continue };
                let swarm = family.eq_ignore_ascii_case("swarm");
                if !swarm && !family.eq_ignore_ascii_case("docker") || swarm && reader == Reader::Docker {
                    continue;
                }
                families[usize::from(swarm)] = true;
                match option.to_ascii_lowercase().as_str() {
                    "network" => out.network = Some(value.clone()),
                    "lbswarm" => out.lb_swarm = switch(label, value)?,
                    "allownonrunning" if !swarm => out.allow_non_running = switch(label, value)?,
                    _ => {
                        let known = if swarm { "`network` and `lbswarm`" } else { "`network` and `allownonrunning`" };
                        return Err(format!("unknown label `{label}`: below `{root}{family}` there are {known}"));
                    }
                }
            }
        }
        if reader == Reader::Swarm {
            if families == [true, true] {
                return Err("it has labels `traefik.docker.…` and `traefik.swarm.…`: write all of them as `traefik.swarm.…`".to_owned());
            }
            out.legacy = families[0];
        }
        Ok(out)
    }
}

/// As Go reads a boolean.
fn switch(label: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("label `{label}`: `{value}` is neither `true` nor `false`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)], reader: Reader) -> Result<Specific, String> {
        Specific::read(&labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), reader)
    }

    #[test]
    fn labels_of_the_provider() {
        let network = |n: &str| Specific { network: Some(n.into()), ..Specific::default() };
        for (labels, reader, expected) in [
            (&[("traefik.docker.network", "a")][..], Reader::Docker, Ok(network("a"))),
            (&[("traefik.Docker.NetWork", "a"), ("torana.docker.network", "b")], Reader::Docker, Ok(network("b"))),
            (&[("traefik.swarm.network", "a"), ("traefik.enable", "x"), ("other", "")], Reader::Docker, Ok(Specific::default())),
            (&[("traefik.swarm.network", "a")], Reader::Swarm, Ok(network("a"))),
            (&[("traefik.docker.network", "a")], Reader::Swarm, Ok(Specific { legacy: true, ..network("a") })),
            (&[("traefik.docker.allownonrunning", "T")], Reader::Docker, Ok(Specific { allow_non_running: true, ..Specific::default() })),
            (&[("traefik.swarm.lbswarm", "true")], Reader::Swarm, Ok(Specific { lb_swarm: true, ..Specific::default() })),
        ] {
            assert_eq!(read(labels, reader), expected, "{labels:?}");
        }
        for (labels, reader, why) in [
            (&[("traefik.docker.allownonrunning", "yes")][..], Reader::Docker, "neither"),
            (&[("traefik.docker.netwrok", "a")], Reader::Docker, "unknown label"),
            (&[("traefik.swarm.allownonrunning", "true")], Reader::Swarm, "unknown label"),
            (&[("traefik.swarm.network", "a"), ("traefik.docker.lbswarm", "true")], Reader::Swarm, "write all of them"),
        ] {
            assert!(read(labels, reader).unwrap_err().contains(why), "{labels:?}");
        }
    }
}
