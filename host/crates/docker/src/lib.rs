//! Configuration from Docker and Swarm.

mod address;
mod api;
mod client;
mod container;
mod endpoint;
