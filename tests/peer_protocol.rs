//! The peer protocol from outside: golden frames, a second decoder, and links over loopback.

#[path = "peer_protocol/attacks.rs"]
mod attacks;
#[path = "peer_protocol/codec.rs"]
mod codec;
#[path = "peer_protocol/decoder.rs"]
mod decoder;
#[path = "peer_protocol/frames.rs"]
mod frames;
#[path = "peer_protocol/frozen.rs"]
mod frozen;
#[path = "peer_protocol/hostile.rs"]
mod hostile;
#[path = "peer_protocol/links.rs"]
mod links;
#[path = "peer_protocol/net.rs"]
mod net;
#[path = "peer_protocol/noise.rs"]
mod noise;
#[path = "peer_protocol/rotation.rs"]
mod rotation;
#[path = "peer_protocol/sealed.rs"]
mod sealed;
#[path = "peer_protocol/vectors.rs"]
mod vectors;
#[path = "peer_protocol/versions.rs"]
mod versions;
