//! RTSP messages, logins, transports, session descriptions.
