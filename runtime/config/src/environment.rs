//! `${NAME}` and `${NAME:default}` in values.
//!
//! Variables are replaced in scalars *after* the YAML has been parsed, so whatever a variable holds
//! (quotes, colons, line breaks), it stays one value and cannot add keys. Keys are not replaced, and
//! a replaced text is not searched again.

/// Replaces the variables of one scalar. `$${` stands for `${` itself.
///
/// # Errors
/// Names the variable that is missing, or the `${` that has no end. Never quotes a value.
pub(crate) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &from[2..];
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = from[2..].split_once('}') else {
            return Err(
                "\"${\" has no closing \"}\"; write \"$${\" where no variable is meant".into(),
            );
        };
        let (name, default) = match inside.split_once(':') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_variable(name) {
            return Err(
                "expected the name of an environment variable (letters, digits, '_') between \"${\" and \"}\"; write \"$${\" where none is meant".into(),
            );
        }
        match lookup(name).or_else(|| default.map(str::to_owned)) {
            Some(value) => out.push_str(&value),
            None => {
                return Err(format!(
                    "the environment variable {name} is not set, and ${{{name}}} has no default; ${{{name}:text}} gives it one"
                ));
            }
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, |name| match name {
            "PW" => Some("a: ${PW}\n- b".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(expanded("x${PW}y").unwrap(), "xa: ${PW}\n- by");
        assert_eq!(expanded("${EMPTY:d}").unwrap(), "");
        assert_eq!(expanded("${NONE:a:b}${NONE:}").unwrap(), "a:b");
        assert_eq!(expanded("$5 $$ $${PW}").unwrap(), "$5 $$ ${PW}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert!(
            expanded("${NONE}")
                .unwrap_err()
                .contains("variable NONE is not set")
        );
        for bad in ["${", "${}", "${a b}", "${1}"] {
            assert!(expanded(bad).is_err(), "{bad}");
        }
    }
}
