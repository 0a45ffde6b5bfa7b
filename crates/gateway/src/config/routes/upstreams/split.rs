//! Whether a split makes sense, and what it means.

use std::collections::HashMap;
use std::sync::Arc;

use super::Upstreams;
use super::written::Split as Written;
use crate::config::document::Step;
use crate::config::routes::check::Check;
use crate::upstream::{Condition, HashKey, Override, Share, Split, Upstream};

const KEY: Step<'static> = Step::Key("split");

/// A split, with upstreams by their names.
pub(in crate::config::routes) struct CheckedSplit {
    overrides: Vec<(Condition, String)>,
    shares: Vec<(String, u32)>,
    by: Option<HashKey>,
}

impl CheckedSplit {
    /// The split, with the upstreams themselves.
    pub(in crate::config::routes) fn resolve(
        self,
        named: &HashMap<String, Arc<Upstream>>,
    ) -> Split {
        let find = |name: &String| named.get(name).map(Arc::clone);
        Split {
            overrides: self
                .overrides
                .into_iter()
                .filter_map(|(condition, name)| {
                    let upstream = find(&name)?;
                    Some(Override {
                        condition,
                        upstream,
                    })
                })
                .collect(),
            shares: self
                .shares
                .iter()
                .filter_map(|(name, weight)| {
                    let upstream = find(name)?;
                    Some(Share {
                        upstream,
                        weight: *weight,
                    })
                })
                .collect(),
            by: self.by,
        }
    }
}

impl Check<'_> {
    pub(in crate::config::routes) fn split(
        &mut self,
        written: &Written,
        upstreams: &Upstreams,
    ) -> CheckedSplit {
        let mut split = CheckedSplit {
            overrides: Vec::new(),
            shares: Vec::new(),
            by: None,
        };
        if let Some(by) = &written.by {
            match by.parse() {
                Ok(by) => split.by = Some(by),
                Err(error) => self.say(&[KEY, Step::Key("by")], &format!("\"{by}\" {error}")),
            }
        }
        for (index, share) in written.upstreams.iter().enumerate() {
            let at = |key| {
                [
                    KEY,
                    Step::Key("upstreams"),
                    Step::Index(index),
                    Step::Key(key),
                ]
            };
            if let Err(message) = upstreams.named(&share.upstream) {
                self.say(&at("upstream"), &message);
            }
            for text in &share.when {
                match text.parse() {
                    Ok(condition) => split.overrides.push((condition, share.upstream.clone())),
                    Err(error) => self.say(&at("when"), &format!("\"{text}\" {error}")),
                }
            }
            split.shares.push((share.upstream.clone(), share.weight));
        }
        if split.shares.iter().all(|(_, weight)| *weight == 0) {
            self.say(
                &[KEY, Step::Key("upstreams")],
                "at least one weight must be greater than 0",
            );
        }
        split
    }
}
