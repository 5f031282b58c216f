//! Log set-up and the list of metrics.
