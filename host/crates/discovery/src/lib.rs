//! What sources of objects with labels have in common (Docker, Swarm, ECS, Consul's catalogue, Nomad): labels
//! to configuration, default rules, constraints, and the merging of what many objects say. Beside that, what the
//! clients of all sources need ([`client_tls`]).

pub mod client_tls;
