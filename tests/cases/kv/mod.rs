//! Routing configuration in etcd, Consul, Redis and ZooKeeper, with the real servers (PRV-08, KV-01, KV-02).

mod differential;
mod examples;
mod measure;
mod secured;
mod server;
mod stores;
