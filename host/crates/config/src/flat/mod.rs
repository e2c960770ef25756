//! Configuration written flat, one setting at a time: labels and tags of objects ([`labels`]), keys of a store
//! ([`kv`]). Both become the tree that [`crate::routing::decode`] reads.

pub mod kv;
pub mod labels;

use crate::node::Node;
use torana_base::Place;

/// Parts of one path, at most: nothing that is built goes as deep.
const MAX_DEPTH: usize = 64;

/// A tree by names alone: what its parts mean is not known yet.
#[derive(Debug)]
struct Raw {
    name: String,
    /// Of the first setting here or below.
    place: Place,
    value: Option<Node>,
    children: Vec<Raw>,
}

impl Raw {
    fn new(name: &str, place: &Place) -> Raw {
        Raw { name: name.to_owned(), place: place.clone(), value: None, children: Vec::new() }
    }

    /// Adds a setting. They come in an order in which paths that differ only in case stand together, so that
    /// a part that is there already is always the last one. Of several spellings the first by bytes stays, of
    /// several values the last.
    fn insert<'a>(&mut self, path: impl IntoIterator<Item = &'a str>, value: &str, place: &Place) {
        let mut at = self;
        for part in path {
            match at.children.last() {
                Some(last) if last.name.eq_ignore_ascii_case(part) => {}
                _ => at.children.push(Raw::new(part, place)),
            }
            let Some(last) = at.children.last_mut() else { return };
            if part < last.name.as_str() {
                part.clone_into(&mut last.name);
            }
            at = last;
        }
        at.value = Some(Node::plain(place.clone(), value));
    }

    fn text(&self) -> Option<&str> {
        self.value.as_ref().and_then(Node::as_str)
    }
}
