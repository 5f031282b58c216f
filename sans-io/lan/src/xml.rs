//! The little of XML that an envelope of WS-Discovery needs: names without their prefixes, and texts. Entities stand as
//! they are; a document type ends the reading.

/// Most tags and texts of one message; an answer with thirty devices has a thousand.
const MAX_TOKENS: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    Open(&'a str),
    Close(&'a str),
    Text(&'a str),
}

/// The tags and texts of a message, in order, as far as it can be read.
pub(crate) struct Tokens<'a> {
    rest: &'a str,
    /// An element that closed itself is told to be closed next.
    closes: Option<&'a str>,
    count: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self {
            rest: text,
            closes: None,
            count: 0,
        }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if let Some(name) = self.closes.take() {
            return Some(Token::Close(name));
        }
        loop {
            self.count += 1;
            if self.rest.is_empty() || self.count > MAX_TOKENS {
                return None;
            }
            if let Some(rest) = self.rest.strip_prefix("<!--") {
                self.rest = rest.split_once("-->")?.1;
            } else if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
                let (text, rest) = rest.split_once("]]>")?;
                self.rest = rest;
                return Some(Token::Text(text));
            } else if let Some(rest) = self.rest.strip_prefix("<?") {
                self.rest = rest.split_once("?>")?.1;
            } else if self.rest.starts_with("<!") {
                return None;
            } else if let Some(rest) = self.rest.strip_prefix('<') {
                let (tag, rest) = rest.split_at_checked(end(rest)?)?;
                self.rest = rest.strip_prefix('>')?;
                if let Some(name) = tag.strip_prefix('/') {
                    return Some(Token::Close(local(name)));
                }
                let name = local(tag);
                if tag.ends_with('/') {
                    self.closes = Some(name);
                }
                return Some(Token::Open(name));
            } else {
                let at = self.rest.find('<').unwrap_or(self.rest.len());
                let (text, rest) = self.rest.split_at_checked(at)?;
                self.rest = rest;
                return Some(Token::Text(text));
            }
        }
    }
}

/// Where a tag ends: at the first `>` that stands in no attribute's value.
fn end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// A tag's name without its prefix and attributes.
fn local(tag: &str) -> &str {
    let name = tag.trim_end_matches('/').split_whitespace().next();
    let name = name.unwrap_or_default();
    name.rsplit_once(':').map_or(name, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_lose_their_prefixes_and_texts_are_kept() {
        let text = "<?xml version='1.0'?><s:A x=\"a>b\"><!-- < --><B/>t<![CDATA[<c>]]></s:A>";
        let tokens: Vec<_> = Tokens::of(text).collect();
        assert_eq!(
            tokens,
            [
                Token::Open("A"),
                Token::Open("B"),
                Token::Close("B"),
                Token::Text("t"),
                Token::Text("<c>"),
                Token::Close("A"),
            ]
        );
        assert_eq!(Tokens::of("<!DOCTYPE x><a>").count(), 0);
        assert_eq!(Tokens::of("<a").count(), 0);
        assert_eq!(Tokens::of(&"<a>".repeat(9_000)).count(), MAX_TOKENS);
    }
}
