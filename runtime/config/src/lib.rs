//! The configuration file, typed, with errors that help.
