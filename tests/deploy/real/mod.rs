//! The image and the pods, really built and run: by podman, in namespaces of their own.
//!
//! Every test here runs itself again in new namespaces for processes, mounts and networks. All that
//! podman keeps is in their memory. When the test has ended, however it ended, the kernel takes
//! containers, networks and images away.

mod clients;
mod compose;
mod dockerfile;
mod engine;
mod failover;
mod images;
mod pod;
mod site;
