//! The routes of one host pattern, as a tree of path segments.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::path;
use super::pattern::Segment;

/// A point in the tree: the segments from the root to it have been matched.
#[derive(Debug, Default)]
pub(super) struct Node {
    literals: HashMap<Box<str>, Node, RandomState>,
    parameter: Option<Box<Node>>,
    /// Routes whose pattern ends here, the most specific first.
    pub(super) here: Vec<usize>,
    /// Routes that take the rest from here on, the most specific first.
    pub(super) rest: Vec<usize>,
}

impl Node {
    /// The list that a route with `segments` belongs into.
    pub(super) fn list(&mut self, segments: &[Segment]) -> &mut Vec<usize> {
        let mut node = self;
        for segment in segments {
            node = match segment {
                Segment::Literal(literal) => node.literals.entry(literal.clone()).or_default(),
                Segment::Parameter(_) => node.parameter.get_or_insert_default(),
                Segment::Rest(_) => return &mut node.rest,
            };
        }
        &mut node.here
    }

    /// Offers the lists that match `path` to `choose`, the most specific first, until it has chosen. `path` is
    /// normalised and has lost its first slash; none when it has been used up.
    pub(super) fn visit<T>(
        &self,
        path: Option<&str>,
        choose: &mut impl FnMut(&[usize]) -> Option<T>,
    ) -> Option<T> {
        let Some(path) = path else {
            return choose(&self.here).or_else(|| choose(&self.rest));
        };
        let (segment, after) = match path.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (path, None),
        };
        let name = path::name(segment);
        let literal = self
            .literals
            .get(&*name)
            .and_then(|node| node.visit(after, choose));
        let parameter = || {
            self.parameter
                .as_ref()
                .filter(|_| !segment.is_empty())?
                .visit(after, choose)
        };
        literal.or_else(parameter).or_else(|| choose(&self.rest))
    }

    /// All lists of the tree.
    pub(super) fn each_list(&self, each: &mut impl FnMut(&[usize])) {
        each(&self.here);
        each(&self.rest);
        for node in self.literals.values().chain(self.parameter.as_deref()) {
            node.each_list(each);
        }
    }

    /// All lists of the tree, to change them.
    pub(super) fn for_each_list(&mut self, each: &mut impl FnMut(&mut Vec<usize>)) {
        each(&mut self.here);
        each(&mut self.rest);
        for node in self
            .literals
            .values_mut()
            .chain(self.parameter.as_deref_mut())
        {
            node.for_each_list(each);
        }
    }
}
