//! Configuration from Docker and Swarm.
