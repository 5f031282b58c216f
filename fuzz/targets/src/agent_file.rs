//! config.json of the camera agent that came before.

use agent_file::AgentFile;

/// Any text is read or refused; what is said of it holds no control characters and not one of its secrets.
pub fn agent_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(file) = AgentFile::parse(text) else {
        return;
    };
    let notes: Vec<String> = file.notes.iter().map(ToString::to_string).collect();
    assert!(notes.iter().all(|note| !note.chars().any(char::is_control)));
    let printed = format!("{file:?}");
    for secret in [&file.token, &file.password].into_iter().flatten() {
        // A short one may stand in any word.
        let secret = secret.reveal();
        assert!(secret.len() < 16 || text.matches(secret).count() > 1 || !printed.contains(secret));
    }
}
