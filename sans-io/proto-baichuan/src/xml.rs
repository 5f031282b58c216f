//! The little XML that devices speak, section 2.2: elements, attributes, text, five entities.
//!
//! A document becomes a tree. No namespaces, no document types, no entities but the five: whoever
//! declares some is refused. Comments and processing instructions are skipped.

use crate::Error;

/// Longest document accepted (section 12).
pub const MAX_XML: usize = 1024 * 1024;
/// Deepest nesting accepted (section 12); devices reach about ten.
pub const MAX_DEPTH: usize = 32;
/// Most elements of one document. The longest known, the abilities of a 64-channel recorder, has some 10,000.
pub const MAX_ELEMENTS: usize = 65_536;
/// Most attributes of one element; devices write one.
pub const MAX_ATTRIBUTES: usize = 16;

/// An element with all that is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The tag.
    pub name: String,
    /// Attributes in order.
    pub attributes: Vec<(String, String)>,
    /// The text, trimmed; empty beside children.
    pub text: String,
    /// Children in order.
    pub children: Vec<Element>,
}

impl Element {
    /// An empty element.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// An empty element with the `version="1.1"` that commands carry.
    #[must_use]
    pub fn versioned(name: &str) -> Self {
        Self {
            attributes: vec![("version".to_owned(), "1.1".to_owned())],
            ..Self::new(name)
        }
    }

    /// Adds a child that holds text.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.children.push(Self {
            text: value.to_string(),
            ..Self::new(name)
        });
        self
    }

    /// Adds a child if there is a value for it.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds a child.
    #[must_use]
    pub fn containing(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }

    /// Gives the first child of that name this text, or adds one: for what is read, changed and sent back.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        let text = value.to_string();
        match self.children.iter_mut().find(|child| child.name == name) {
            Some(child) => child.text = text,
            None => self.children.push(Self {
                text,
                ..Self::new(name)
            }),
        }
    }

    /// Whether the number in the first child of that name is 1; None if there is no such number.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.number::<i64>(name).map(|number| number == 1)
    }

    /// The first child of that name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// Every child of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of the first child of that name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    /// The number in the first child of that name. Devices pad with blanks and write fractions (section 12); a
    /// fraction is cut off, anything else is no number.
    #[must_use]
    pub fn number<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        let text = self.value(name)?.trim();
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        T::try_from(whole.parse::<i64>().ok()?).ok()
    }

    /// Reads a document: leading blanks, a declaration if any, one root element.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_XML {
            return Err(Error::TooLarge {
                what: "XML document",
                len: bytes.len(),
                max: MAX_XML,
            });
        }
        // Some firmware pads documents with zero bytes.
        let end = bytes.iter().rposition(|&byte| byte != 0);
        let bytes = bytes.get(..end.map_or(0, |end| end + 1)).unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| Error::Xml {
            offset: error.valid_up_to(),
            problem: "not UTF-8",
        })?;
        let mut reader = Reader {
            text: text.strip_prefix('\u{feff}').unwrap_or(text),
            at: 0,
            elements: 0,
        };
        let root = reader.document()?;
        Ok(root)
    }

    /// The document as cameras write it: declaration, one tag or leaf a line, no indentation.
    #[must_use]
    pub fn to_document(&self) -> Vec<u8> {
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n");
        self.write(&mut out, 0);
        out.into_bytes()
    }

    /// The same without the declaration, as discovery writes it (section 9.1).
    #[must_use]
    pub fn to_fragment(&self) -> Vec<u8> {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.into_bytes()
    }

    fn write(&self, out: &mut String, depth: usize) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attributes {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out);
            out.push('"');
        }
        out.push('>');
        if self.children.is_empty() {
            escape(&self.text, out);
        } else {
            out.push('\n');
            // What our own code nests is shallow; the cap only keeps a tree from a peer from being echoed for ever.
            if depth < MAX_DEPTH {
                for child in &self.children {
                    child.write(out, depth + 1);
                }
            }
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push_str(">\n");
    }
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            other => out.push(other),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    elements: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, problem: &'static str) -> Error {
        Error::Xml {
            offset: self.at,
            problem,
        }
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Everything up to `end`, which is taken too.
    fn until(&mut self, end: &str, problem: &'static str) -> Result<&'a str, Error> {
        let Some((before, _)) = self.rest().split_once(end) else {
            return Err(self.error(problem));
        };
        self.at += before.len() + end.len();
        Ok(before)
    }

    fn document(&mut self) -> Result<Element, Error> {
        loop {
            self.skip_blanks();
            if !self.skip_aside()? {
                break;
            }
        }
        // What follows the root is no business of ours: some firmware leaves rubbish there.
        self.element(1)
    }

    /// A comment, declaration or processing instruction.
    fn skip_aside(&mut self) -> Result<bool, Error> {
        if self.eat("<?") {
            self.until("?>", "an instruction without end")?;
            return Ok(true);
        }
        if self.eat("<!--") {
            self.until("-->", "a comment without end")?;
            return Ok(true);
        }
        if self.rest().starts_with("<!") && !self.rest().starts_with("<![CDATA[") {
            return Err(self.error("a document type"));
        }
        Ok(false)
    }

    fn element(&mut self, depth: usize) -> Result<Element, Error> {
        if depth > MAX_DEPTH {
            return Err(self.error("nested too deeply"));
        }
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(self.error("too many elements"));
        }
        if !self.eat("<") {
            return Err(self.error("no element"));
        }
        let mut element = Element::new(self.name()?);
        if self.attributes(&mut element)? {
            return Ok(element);
        }
        let mut text = String::new();
        loop {
            let Some((before, _)) = self.rest().split_once('<') else {
                return Err(self.error("an element without end"));
            };
            unescape(before, &mut text).map_err(|problem| self.error(problem))?;
            self.at += before.len();
            if self.eat("</") {
                if self.name()? != element.name {
                    return Err(self.error("another element ends"));
                }
                self.skip_blanks();
                if !self.eat(">") {
                    return Err(self.error("an end tag without end"));
                }
                break;
            }
            if self.eat("<![CDATA[") {
                text.push_str(self.until("]]>", "character data without end")?);
            } else if !self.skip_aside()? {
                element.children.push(self.element(depth + 1)?);
            }
        }
        if element.children.is_empty() {
            element.text = text.trim().to_owned();
        }
        Ok(element)
    }

    fn name(&mut self) -> Result<&'a str, Error> {
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || c.is_control() || "<>/=\"'&?!".contains(c);
        let name = rest.split(ends).next().unwrap_or_default();
        if name.is_empty() {
            return Err(self.error("a tag without name"));
        }
        self.at += name.len();
        Ok(name)
    }

    /// The rest of a start tag; true if it is also the end.
    fn attributes(&mut self, element: &mut Element) -> Result<bool, Error> {
        loop {
            self.skip_blanks();
            if self.eat("/>") {
                return Ok(true);
            }
            if self.eat(">") {
                return Ok(false);
            }
            if element.attributes.len() == MAX_ATTRIBUTES {
                return Err(self.error("too many attributes"));
            }
            let name = self.name()?.to_owned();
            self.skip_blanks();
            if !self.eat("=") {
                return Err(self.error("an attribute without value"));
            }
            self.skip_blanks();
            let quote = if self.eat("\"") {
                "\""
            } else if self.eat("'") {
                "'"
            } else {
                return Err(self.error("an attribute without quotes"));
            };
            let raw = self.until(quote, "an attribute without end")?;
            let mut value = String::new();
            unescape(raw, &mut value).map_err(|problem| self.error(problem))?;
            element.attributes.push((name, value));
        }
    }
}

/// Resolves the five entities and numeric references; others stand for nothing we know.
fn unescape(mut text: &str, out: &mut String) -> Result<(), &'static str> {
    while let Some((before, after)) = text.split_once('&') {
        out.push_str(before);
        let entity = after.split_once(';').filter(|(name, _)| name.len() <= 8);
        let Some((name, rest)) = entity else {
            // Camera names with a bare ampersand exist; it stands for itself.
            out.push('&');
            text = after;
            continue;
        };
        match name {
            "lt" => out.push('<'),
            "gt" => out.push('>'),
            "amp" => out.push('&'),
            "quot" => out.push('"'),
            "apos" => out.push('\''),
            other => {
                let code = match other.strip_prefix('#') {
                    Some(digits) => match digits.strip_prefix('x') {
                        Some(hex) => u32::from_str_radix(hex, 16),
                        None => digits.parse(),
                    }
                    .ok(),
                    None => None,
                };
                out.push(code.and_then(char::from_u32).ok_or("an unknown entity")?);
            }
        }
        text = rest;
    }
    out.push_str(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_document_is_written_as_cameras_write_it() {
        let body = Element::new("body").containing(
            Element::versioned("Encryption")
                .with("type", "md5")
                .with("nonce", "A&B"),
        );
        let text = String::from_utf8(body.to_document()).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<body>\n<Encryption version=\"1.1\">\n\
             <type>md5</type>\n<nonce>A&amp;B</nonce>\n</Encryption>\n</body>\n"
        );
        assert_eq!(Element::parse(text.as_bytes()), Ok(body));
    }

    #[test]
    fn sloppy_documents_are_read() {
        for text in [
            "<body><a>1</a></body>",
            "\n<?xml version=\"1.0\" encoding=\"UTF-8\"?><body><a>1</a></body>",
            "<?xml version='1.0'?>\r\n<body >\r\n    <a> 1 </a >\r\n</body>\0\0",
            "<!-- x --><body><a x='1' y=\"2\">1</a><!-- y --></body>trailing",
            "<body><a>&#49;</a></body>",
            "<body><a><![CDATA[1]]></a></body>",
        ] {
            let body = Element::parse(text.as_bytes()).unwrap();
            assert_eq!(body.number::<u8>("a"), Some(1), "{text}");
        }
    }

    #[test]
    fn bombs_and_nonsense_are_refused() {
        let deep = "<a>".repeat(MAX_DEPTH + 1) + &"</a>".repeat(MAX_DEPTH + 1);
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        for text in [
            "",
            "text",
            "<",
            "<a",
            "<a>",
            "<a></b>",
            "<a b></a>",
            "<a b=c></a>",
            "<!DOCTYPE lolz [<!ENTITY lol \"lol\">]><a>&lol;</a>",
            "<a>&lol;</a>",
            "<a><!ENTITY x></a>",
            &deep,
            &many,
        ] {
            assert!(Element::parse(text.as_bytes()).is_err(), "{:.40}", text);
        }
        assert!(matches!(
            Element::parse(&vec![b' '; MAX_XML + 1]),
            Err(Error::TooLarge { .. })
        ));
        assert!(Element::parse(b"<a>\xff</a>").is_err());
    }

    #[test]
    fn numbers_may_be_padded_negative_or_fractions() {
        let body = Element::new("a")
            .with("b", " -7 ")
            .with("c", "2.9")
            .with("d", "")
            .with("e", "300");
        assert_eq!(body.number::<i32>("b"), Some(-7));
        assert_eq!(body.number::<u8>("c"), Some(2));
        assert_eq!(body.number::<u8>("d"), None);
        assert_eq!(body.number::<u8>("e"), None);
        assert_eq!(body.number::<u8>("f"), None);
    }

    fn trees() -> impl Strategy<Value = Element> {
        let leaf = ("[a-zA-Z][a-zA-Z0-9]{0,8}", "[!-~]{0,12}").prop_map(|(name, text)| Element {
            text,
            ..Element::new(&name)
        });
        leaf.prop_recursive(4, 32, 5, |inner| {
            (
                "[a-zA-Z]{1,8}",
                prop::collection::vec(inner, 1..5),
                prop::option::of("[ -~]{0,8}"),
            )
                .prop_map(|(name, children, version)| Element {
                    children,
                    attributes: version
                        .map(|version| ("version".to_owned(), version))
                        .into_iter()
                        .collect(),
                    ..Element::new(&name)
                })
        })
    }

    proptest! {
        #[test]
        fn every_tree_survives_writing_and_reading(tree in trees()) {
            prop_assert_eq!(Element::parse(&tree.to_document()), Ok(tree));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[<>/a-b&;\"= !?\\[\\]-]{0,60}") {
            let _ = Element::parse(text.as_bytes());
        }
    }
}
