//! JSON as far as a configuration file needs it: one small value tree. The agent has no room for a larger library.

use crate::{Error, MAX_FILE};

/// Deepest nesting; the files have four levels.
const MAX_DEPTH: usize = 16;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    /// In the file's order. A key that stands twice is there twice.
    Map(Vec<(String, Value)>),
}

/// Reads a whole document.
pub(crate) fn parse(text: &str) -> Result<Value, Error> {
    if text.len() > MAX_FILE {
        return Err(Error::TooLong);
    }
    let mut reader = Reader {
        text: text.strip_prefix('\u{feff}').unwrap_or(text),
        at: 0,
    };
    let value = reader.value(0)?;
    reader.skip_blanks();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.expected("the end of the file")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expected(&self, what: &'static str) -> Error {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        Error::Syntax {
            line,
            column,
            expected: what,
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(self.expected("less nesting"));
        }
        self.skip_blanks();
        match self.peek() {
            Some('{') => self.map(depth),
            Some('[') => self.list(depth),
            Some('"') => self.text().map(Value::Text),
            Some('-' | '0'..='9') => self.number(),
            _ => {
                for (word, value) in [
                    ("null", Value::Null),
                    ("true", Value::Bool(true)),
                    ("false", Value::Bool(false)),
                ] {
                    if self.rest().starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                Err(self.expected("a value"))
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Error> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.take('}') {
            return Ok(Value::Map(entries));
        }
        loop {
            self.skip_blanks();
            if self.peek() != Some('"') {
                return Err(self.expected("a key in quotes"));
            }
            let key = self.text()?;
            if !self.take(':') {
                return Err(self.expected("':'"));
            }
            entries.push((key, self.value(depth + 1)?));
            if self.take(',') {
                continue;
            }
            if self.take('}') {
                return Ok(Value::Map(entries));
            }
            return Err(self.expected("',' or '}'"));
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Error> {
        self.at += 1;
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(',') {
                continue;
            }
            if self.take(']') {
                return Ok(Value::List(items));
            }
            return Err(self.expected("',' or ']'"));
        }
    }

    fn number(&mut self) -> Result<Value, Error> {
        let rest = self.rest();
        let len = rest
            .find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
            .unwrap_or(rest.len());
        let number = rest.get(..len).and_then(|text| text.parse::<f64>().ok());
        let number = number.filter(|number| number.is_finite());
        let number = number.ok_or_else(|| self.expected("a number"))?;
        self.at += len;
        Ok(Value::Number(number))
    }

    fn text(&mut self) -> Result<String, Error> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) if c >= ' ' => text.push(c),
                Some(_) | None => return Err(self.expected("'\"' at the end of a text")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Error> {
        Ok(match self.next() {
            Some(c @ ('"' | '\\' | '/')) => c,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let first = self.unit()?;
                let code = if (0xD800..0xDC00).contains(&first) && self.rest().starts_with("\\u") {
                    self.at += 2;
                    let second = self.unit()?;
                    let low = second.checked_sub(0xDC00).filter(|&low| low < 0x400);
                    low.map_or(first, |low| 0x1_0000 + ((first - 0xD800) << 10) + low)
                } else {
                    first
                };
                // Half a pair stands for nothing.
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(self.expected("an escape such as \\n")),
        })
    }

    fn unit(&mut self) -> Result<u32, Error> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|c| c.to_digit(16));
            unit = unit << 4 | digit.ok_or_else(|| self.expected("four hexadecimal digits"))?;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_are_read_as_other_readers_read_them() {
        let text = "\u{feff}{ \"a\": [1, -2.5e1, true, null, \"x\\u00e9\\n\\ud83d\\ude00\\/\"],\r\n \"b\": {} }";
        let Ok(Value::Map(entries)) = parse(text) else {
            panic!("it is a document")
        };
        let list = vec![
            Value::Number(1.0),
            Value::Number(-25.0),
            Value::Bool(true),
            Value::Null,
            Value::Text("xé\n😀/".into()),
        ];
        let expected = [
            ("a".to_owned(), Value::List(list)),
            ("b".to_owned(), Value::Map(vec![])),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let said = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(
            said("{\n  \"a\": 1,\n}"),
            "line 3, column 1: expected a key in quotes"
        );
        assert_eq!(said("{\"a\" 1}"), "line 1, column 6: expected ':'");
        assert_eq!(said("[1 2]"), "line 1, column 4: expected ',' or ']'");
        assert_eq!(said(""), "line 1, column 1: expected a value");
        assert_eq!(
            said("1 1"),
            "line 1, column 3: expected the end of the file"
        );
        assert!(said(&"[".repeat(100)).contains("less nesting"));
        assert!(parse(&" ".repeat(MAX_FILE + 1)).is_err());
        for bad in [
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "-",
            "1e999",
            "nul",
            "\"a\nb\"",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text: String) {
            let _ = parse(&text);
        }

        #[test]
        fn texts_survive_being_written_and_read(text: String) {
            let escaped: String = text
                .chars()
                .map(|c| match c {
                    '"' | '\\' => format!("\\{c}"),
                    c if c < ' ' => format!("\\u{:04x}", u32::from(c)),
                    c => c.to_string(),
                })
                .collect();
            let written = format!("\"{escaped}\"");
            prop_assert_eq!(parse(&written), Ok(Value::Text(text)));
        }
    }
}
