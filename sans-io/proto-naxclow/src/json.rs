//! JSON as these cameras write it: a tolerant reader, an exact writer.
//!
//! Members keep their order, since echoes and vectors are compared byte by byte. Firmware writes irregular
//! spaces, NULs at the end, and network names in any encoding (facts, section 8.2); all that is read.

use std::fmt::Write as _;

use crate::Error;

/// Longest JSON text that is read (facts, section 13). The longest known, a camera's Info, has 300 bytes.
pub const MAX_JSON: usize = 4096;

/// Deepest nesting that is read (facts, section 13). Known messages have two levels.
pub const MAX_DEPTH: usize = 8;

/// Longest string that is read, in bytes of UTF-8 (facts, section 13).
pub const MAX_STRING: usize = 256;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A whole number within 64 bits.
    Integer(i64),
    /// Any other number, as it was written.
    Decimal(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object.
    Object(Object),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

/// Where spaces stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `{"code": 101, "status": 200}`
    Spaced,
    /// `{"code":101,"status":200}`
    Compact,
}

/// An object, its members in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    /// Reads the text of a message: white space and NULs around it, bytes after it and bytes that are no UTF-8
    /// do not matter.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_JSON {
            return Err(Error::JsonTooLong {
                found: bytes.len(),
                max: MAX_JSON,
            });
        }
        let text = String::from_utf8_lossy(bytes);
        let mut reader = Reader {
            text: text.trim_matches(|c: char| c == '\0' || c.is_whitespace()),
            position: 0,
        };
        reader.object(1)
    }

    /// Adds a member at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    /// Takes all members of that name out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|(member, _)| member != name);
        self
    }

    /// The first member of that name.
    pub fn value(&self, name: &str) -> Option<&Value> {
        let (_, value) = self.0.iter().find(|(member, _)| member == name)?;
        Some(value)
    }

    /// A member as a whole number; a string of digits and a boolean count too.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.value(name)? {
            Value::Integer(number) => Some(*number),
            Value::String(text) => text.trim().parse().ok(),
            Value::Bool(yes) => Some(i64::from(*yes)),
            Value::Null | Value::Decimal(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A member as text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A member as an object.
    pub fn object(&self, name: &str) -> Option<&Self> {
        match self.value(name)? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The names and values in order.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The text of the object.
    pub fn write(&self, style: Style) -> String {
        let mut text = String::new();
        self.write_to(style, &mut text);
        text
    }

    fn write_to(&self, style: Style, out: &mut String) {
        let (comma, colon) = style.separators();
        out.push('{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push_str(comma);
            }
            write_string(name, out);
            out.push_str(colon);
            write_value(value, style, out);
        }
        out.push('}');
    }
}

impl Style {
    fn separators(self) -> (&'static str, &'static str) {
        match self {
            Self::Spaced => (", ", ": "),
            Self::Compact => (",", ":"),
        }
    }
}

fn write_value(value: &Value, style: Style, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Integer(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Decimal(text) => out.push_str(text),
        Value::String(text) => write_string(text, out),
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push_str(style.separators().0);
                }
                write_value(value, style, out);
            }
            out.push(']');
        }
        Value::Object(object) => object.write_to(style, out),
    }
}

/// Writes a string with its quotes. UTF-8 stays as it is: network names are bytes to a camera.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A string with its quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    write_string(text, &mut out);
    out
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl Reader<'_> {
    fn wrong<T>(&self, expected: &'static str) -> Result<T, Error> {
        Err(Error::Json {
            expected,
            position: self.position,
        })
    }

    fn rest(&self) -> &str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    /// The next character that means something.
    fn skip(&mut self) -> Option<char> {
        while let Some(c) = self.peek() {
            if c != '\0' && !c.is_whitespace() {
                return Some(c);
            }
            self.position += c.len_utf8();
        }
        None
    }

    fn take(&mut self, wanted: char) -> bool {
        let is = self.skip() == Some(wanted);
        if is {
            self.position += wanted.len_utf8();
        }
        is
    }

    fn object(&mut self, depth: usize) -> Result<Object, Error> {
        if !self.take('{') {
            return self.wrong("an object");
        }
        if depth > MAX_DEPTH {
            return self.wrong("less nesting");
        }
        let mut members = Vec::new();
        // A comma too many is forgiven: what follows it decides.
        while !self.take('}') {
            let name = self.string()?;
            if !self.take(':') {
                return self.wrong("a colon");
            }
            members.push((name, self.value(depth)?));
            if !self.take(',') && self.skip() != Some('}') {
                return self.wrong("a comma or the object's end");
            }
        }
        Ok(Object(members))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Error> {
        self.next();
        if depth >= MAX_DEPTH {
            return self.wrong("less nesting");
        }
        let mut values = Vec::new();
        while !self.take(']') {
            values.push(self.value(depth + 1)?);
            if !self.take(',') && self.skip() != Some(']') {
                return self.wrong("a comma or the array's end");
            }
        }
        Ok(Value::Array(values))
    }

    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        match self.skip() {
            Some('{') => Ok(Value::Object(self.object(depth + 1)?)),
            Some('[') => self.array(depth),
            Some('"') => Ok(Value::String(self.string()?)),
            Some(_) => self.word(),
            None => self.wrong("a value"),
        }
    }

    /// A number, or one of the three words.
    fn word(&mut self) -> Result<Value, Error> {
        let word: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c))
            .collect();
        let value = match word.as_str() {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => match (word.parse(), word.parse::<f64>()) {
                (Ok(number), _) => Value::Integer(number),
                (_, Ok(number)) if number.is_finite() => Value::Decimal(word.clone()),
                _ => return self.wrong("a value"),
            },
        };
        self.position += word.len();
        Ok(value)
    }

    fn string(&mut self) -> Result<String, Error> {
        if !self.take('"') {
            return self.wrong("a string");
        }
        let mut text = String::new();
        loop {
            match self.next() {
                None => return self.wrong("the string's end"),
                Some('"') => return Ok(text),
                Some('\\') => {
                    let escaped = self.escape()?;
                    text.push(escaped);
                }
                Some(c) => text.push(c),
            }
            if text.len() > MAX_STRING {
                return self.wrong("a shorter string");
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        Ok(match self.next() {
            None => return self.wrong("the string's end"),
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('u') => {
                let high = self.hex4()?;
                let mut code = high;
                if (0xD800..0xDC00).contains(&high) && self.rest().starts_with("\\u") {
                    let before = self.position;
                    self.position += 2;
                    let low = self.hex4()?;
                    if (0xDC00..0xE000).contains(&low) {
                        code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    } else {
                        self.position = before;
                    }
                }
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            Some(other) => other,
        })
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(code) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return self.wrong("four hexadecimal digits");
        };
        self.position += 4;
        Ok(code)
    }
}
