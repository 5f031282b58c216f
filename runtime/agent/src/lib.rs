//! The far half of the tunnel: dials out, serves opens from its allow-list.
