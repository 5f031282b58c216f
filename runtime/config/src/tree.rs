use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, options};

use crate::problem::Position;

/// Heaviest file, aliases expanded. A thousand cameras with every key weigh 10,000; a file of nested
/// aliases would weigh billions.
const MAX_WEIGHT: usize = 200_000;

/// Bytes of text that weigh as much as one more value.
const BYTES_PER_WEIGHT: usize = 64;

/// Deepest nesting. The configuration has four levels.
const MAX_DEPTH: usize = 24;

/// A YAML value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing: an empty value, `~` or `null`.
    Null,
    /// Any scalar, as it was typed: a password `0123` keeps its zero.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Already reported as a problem; nobody complains about it again.
    Broken,
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) node: Node,
}

/// A collection whose end has not been seen yet.
enum Open {
    List(Node, Vec<Node>, usize),
    Map(Node, Vec<Entry>, Option<(String, Position)>, usize),
}

/// Reads one YAML document. `Ok(None)` if there is none, as in an empty file.
pub(crate) fn read(text: &str) -> Result<Option<Node>, (Position, String)> {
    let mut settings = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    settings.set_emit_comments(false);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, settings) {
        let (event, span) = event.map_err(|error| {
            let at = position(*error.marker());
            (
                at,
                format!(
                    "this is no valid YAML: {}{}",
                    error.info(),
                    braces_hint(text, at)
                ),
            )
        })?;
        builder.handle(event, position(span.start))?;
    }
    Ok(builder.root)
}

fn position(marker: Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// `{ listen: ${LISTEN} }` is the one trap of variables in YAML, and the parser's message hides it.
fn braces_hint(text: &str, at: Position) -> &'static str {
    let nearby = text.lines().skip(at.line.saturating_sub(2)).take(3);
    if nearby.into_iter().any(|line| line.contains("${")) {
        "; between { and } a variable needs quotes: \"${NAME}\""
    } else {
        ""
    }
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    weight: usize,
}

impl Builder {
    fn handle(&mut self, event: Event<'_>, at: Position) -> Result<(), (Position, String)> {
        let empty = Node {
            at,
            value: Value::Null,
        };
        match event {
            Event::Scalar(text, style, anchor, _tag) => {
                let is_null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if is_null {
                    Value::Null
                } else {
                    Value::Scalar(text.into_owned())
                };
                self.put(Node { at, value }, anchor, 1)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.descend(Open::List(empty, Vec::new(), anchor))
            }
            Event::MappingStart(_, anchor, _) => {
                self.descend(Open::Map(empty, Vec::new(), None, anchor))
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(node, items, anchor)) => self.put(
                    Node {
                        value: Value::List(items),
                        ..node
                    },
                    anchor,
                    1,
                ),
                Some(Open::Map(node, entries, _, anchor)) => self.put(
                    Node {
                        value: Value::Map(entries),
                        ..node
                    },
                    anchor,
                    1,
                ),
                None => Ok(()),
            },
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some((node, weight)) => self.put(Node { at, ..node }, 0, weight),
                None => Err((at, "this alias refers to a value that contains it".into())),
            },
            Event::DocumentStart(..) if self.root.is_some() => Err((
                at,
                "expected one YAML document, found a second one after \"---\"".into(),
            )),
            // Presentation and framing carry no value.
            _ => Ok(()),
        }
    }

    fn descend(&mut self, open: Open) -> Result<(), (Position, String)> {
        if self.open.len() >= MAX_DEPTH {
            let (Open::List(node, ..) | Open::Map(node, ..)) = open;
            return Err((node.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        self.open.push(open);
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize, weight: usize) -> Result<(), (Position, String)> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            return Err((
                node.at,
                format!("more than {MAX_WEIGHT} values in one file, aliases counted"),
            ));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), weigh(&node)));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items, _)) => items.push(node),
            Some(Open::Map(_, entries, key, _)) => match key.take() {
                Some((key, key_at)) => entries.push(Entry { key, key_at, node }),
                None => match node.value {
                    Value::Scalar(text) => *key = Some((text, node.at)),
                    Value::Null => *key = Some((String::new(), node.at)),
                    Value::List(_) | Value::Map(_) | Value::Broken => {
                        return Err((node.at, "expected a plain word as key".into()));
                    }
                },
            },
        }
        Ok(())
    }
}

fn weigh(node: &Node) -> usize {
    match &node.value {
        Value::Null | Value::Broken => 1,
        Value::Scalar(text) => 1 + text.len() / BYTES_PER_WEIGHT,
        Value::List(items) => 1 + items.iter().map(weigh).sum::<usize>(),
        Value::Map(entries) => {
            1 + entries
                .iter()
                .map(|entry| 1 + weigh(&entry.node))
                .sum::<usize>()
        }
    }
}

/// Changes every scalar below `node`; a scalar whose change fails becomes [`Value::Broken`].
pub(crate) fn each_scalar(
    node: &mut Node,
    change: &mut impl FnMut(Position, &str) -> Option<String>,
) {
    match &mut node.value {
        Value::Scalar(text) => {
            node.value = change(node.at, text).map_or(Value::Broken, Value::Scalar);
        }
        Value::List(items) => items.iter_mut().for_each(|item| each_scalar(item, change)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|entry| each_scalar(&mut entry.node, change)),
        Value::Null | Value::Broken => {}
    }
}
