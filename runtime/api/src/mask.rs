//! Hides the secrets of a source.

use url::Url;

/// What stands where a secret stood.
const MASK: &str = "***";

/// Parameters whose values are secrets in some camera's URL.
const SECRET_PARAMETERS: [&str; 8] = [
    "password", "passwd", "pwd", "pass", "token", "key", "secret", "auth",
];

/// A source without its password and without secret parameters. Errs on the side of hiding.
pub(crate) fn mask(source: &str) -> String {
    let after_scheme = source.find("://").map_or(0, |at| at + 3);
    let Ok(mut url) = Url::parse(source) else {
        return mask_by_hand(source, after_scheme);
    };
    // An unescaped '/', '?' or '#' in a password makes the rest of it look like path or query.
    let tail = [
        url.path(),
        url.query().unwrap_or(""),
        url.fragment().unwrap_or(""),
    ];
    if tail.iter().any(|part| part.contains('@')) || url.cannot_be_a_base() && source.contains('@')
    {
        return mask_by_hand(source, after_scheme);
    }
    if url.password().is_some() && url.set_password(Some(MASK)).is_err() {
        return mask_by_hand(source, after_scheme);
    }
    if let Some(query) = url.query() {
        let masked: Vec<String> = query.split('&').map(mask_parameter).collect();
        let masked = masked.join("&");
        url.set_query(Some(&masked));
    }
    url.into()
}

fn mask_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, _)) if SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("{name}={MASK}")
        }
        _ => parameter.to_owned(),
    }
}

fn mask_by_hand(source: &str, after_scheme: usize) -> String {
    match source.rfind('@') {
        Some(at) if at >= after_scheme => {
            format!("{}{MASK}{}", &source[..after_scheme], &source[at..])
        }
        _ => source.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_address_stay_and_the_password_goes() {
        assert_eq!(
            mask("rtsp://admin:hunter2@10.0.0.1:554/cam?channel=1&subtype=0"),
            "rtsp://admin:***@10.0.0.1:554/cam?channel=1&subtype=0"
        );
        assert_eq!(mask("rtsp://10.0.0.1/cam"), "rtsp://10.0.0.1/cam");
        assert_eq!(mask("jpeg+tcp://10.0.0.1:1234"), "jpeg+tcp://10.0.0.1:1234");
    }

    #[test]
    fn passwords_in_parameters_go_too() {
        assert_eq!(
            mask("http://cam/s?user=a&PWD=hunter2&x=1"),
            "http://cam/s?user=a&PWD=***&x=1"
        );
    }

    #[test]
    fn no_odd_character_lets_a_password_out() {
        for secret in [
            "hun@ter2",
            "hun/ter2",
            "hun#ter2",
            "12#ter2",
            "hun?ter2",
            "hun:ter2",
            "hun ter2",
            "1/hun@ter2",
            "%zzter2",
        ] {
            let masked = mask(&format!("rtsp://admin:{secret}@10.0.0.1:554/cam"));
            assert!(
                !masked.contains("hun") && !masked.contains("ter2"),
                "{masked}"
            );
            assert!(masked.ends_with("@10.0.0.1:554/cam"), "{masked}");
        }
    }
}
