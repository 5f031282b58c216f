//! The configuration file and the source URL: no input panics, and messages keep to their form.

use ::config::{Config, Error, Secret, Source};

/// Any text is a configuration, or is refused with places and words.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let environment = |name: &str| (name == "SET").then(|| "a: ${SET}\n- {b: \"".to_owned());
    match Config::parse_with(text, "fuzz.yaml", environment) {
        Ok(config) => {
            let _ = config.warnings();
            for camera in &config.cameras {
                assert!(config.camera(camera.name.as_str()).is_some());
                let again: Source = camera
                    .source
                    .url()
                    .parse()
                    .expect("a source's URL is a source");
                assert_eq!(again.target, camera.source.target);
            }
        }
        Err(Error::Invalid(problems)) => {
            assert!(problems.iter().next().is_some());
            for problem in problems.iter() {
                assert!(problem.to_string().starts_with("fuzz.yaml:"));
                assert!(!problem.message.contains('\n'), "{problem}");
            }
        }
        Err(other) => panic!("a text cannot fail like this: {other}"),
    }
}

/// A source without its login is read again as what it was, and no print shows a password.
pub fn config_source(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(source) = text.parse::<Source>() else {
        return;
    };
    let again: Source = source.url().parse().expect("a source's URL is a source");
    assert_eq!((&again.target, &again.path), (&source.target, &source.path));
    assert_eq!(again.credentials, None);
    assert!(source.path.bytes().all(|b| b.is_ascii_graphic()));
    // Whatever the password is, the print is the same: nothing of it is in there.
    let mut other = source.clone();
    if let Some(login) = &mut other.credentials {
        login.password = Secret::new("another");
    }
    assert_eq!(format!("{source} {source:?}"), format!("{other} {other:?}"));
}
