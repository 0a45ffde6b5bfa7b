//! Purges as journals and other gateways are told of them.

use crate::store::Manner;

const VERSION: u8 = 1;
/// No key or tag is longer; what is, was damaged.
const LONGEST: usize = 1 << 20;

/// A purge, with what it is about in bytes: hashes differ from process to process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgeRecord {
    pub(crate) manner: Manner,
    pub(crate) subject: Subject,
}

/// What a purge is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    Everything,
    /// The part of a key that is a URL.
    Url(Box<[u8]>),
    Prefix {
        origin: Box<[u8]>,
        path_and_query: Box<[u8]>,
    },
    /// A tag or a group, with what tells the two apart.
    Label(Box<[u8]>),
}

impl PurgeRecord {
    /// Of everything, for good: what stands for purges of which it is not known what they were about.
    #[must_use]
    pub const fn everything() -> Self {
        Self {
            manner: Manner::Hard,
            subject: Subject::Everything,
        }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, first, second): (u8, &[u8], &[u8]) = match &self.subject {
            Subject::Everything => (0, &[], &[]),
            Subject::Url(url) => (1, url, &[]),
            Subject::Prefix {
                origin,
                path_and_query,
            } => (2, origin, path_and_query),
            Subject::Label(label) => (3, label, &[]),
        };
        let manner = match self.manner {
            Manner::Soft => 0,
            Manner::Hard => 1,
        };
        let mut bytes = Vec::with_capacity(7 + first.len() + second.len());
        bytes.extend_from_slice(&[VERSION, kind, manner]);
        let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        bytes
    }

    /// Reads what [`encode`](Self::encode) has written; nothing if it is something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[version, kind, manner], rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        if version != VERSION || rest.len() > LONGEST {
            return None;
        }
        let (first, second) = rest.split_at_checked(length)?;
        let manner = match manner {
            0 => Manner::Soft,
            1 => Manner::Hard,
            _ => return None,
        };
        let subject = match (kind, first, second) {
            (0, [], []) => Subject::Everything,
            (1, url, []) => Subject::Url(url.into()),
            (2, origin, path_and_query) => Subject::Prefix {
                origin: origin.into(),
                path_and_query: path_and_query.into(),
            },
            (3, label, []) => Subject::Label(label.into()),
            _ => return None,
        };
        Some(Self { manner, subject })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_record() -> impl Strategy<Value = PurgeRecord> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Vec::into_boxed_slice);
        let subject = prop_oneof![
            Just(Subject::Everything),
            bytes().prop_map(Subject::Url),
            (bytes(), bytes()).prop_map(|(origin, path_and_query)| Subject::Prefix {
                origin,
                path_and_query
            }),
            bytes().prop_map(Subject::Label),
        ];
        let manner = prop_oneof![Just(Manner::Soft), Just(Manner::Hard)];
        (manner, subject).prop_map(|(manner, subject)| PurgeRecord { manner, subject })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in any_record()) {
            prop_assert_eq!(PurgeRecord::decode(&record.encode()), Some(record));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(record) = PurgeRecord::decode(&bytes) {
                prop_assert_eq!(record.encode(), bytes);
            }
        }
    }
}
