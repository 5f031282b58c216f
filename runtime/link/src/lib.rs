//! Transport and multiplexing shared by both ends of the tunnel.
