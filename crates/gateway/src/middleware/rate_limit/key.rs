//! What a client is known by.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use aws_lc_rs::digest::{Context, SHA256};

use super::counter_name::first_bits;
use super::limit::{Part, RateLimit};
use crate::auth::{Identity, Subject};
use crate::router::ParameterPlace;

/// A client, as one limit knows it.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) limit: &'a RateLimit,
    /// Of the limit's parts that are path parameters.
    pub(super) parameters: &'a [ParameterPlace],
    pub(super) subject: &'a Subject<'a>,
}

/// What the client has for one part.
enum Value<'a> {
    Address(IpAddr),
    Field(&'a [u8]),
    Parameter(Cow<'a, str>),
    /// Who says so, and what is said.
    Identity(&'a str, Cow<'a, str>),
}

impl Key<'_> {
    /// What stands for the client where others can see it; `by` is how the limit tells clients apart.
    pub(super) fn digest(&self, by: &str) -> u128 {
        let mut context = Context::new(&SHA256);
        context.update(by.as_bytes());
        context.update(b"\0");
        self.spell(|bytes| context.update(bytes));
        first_bits(&context.finish())
    }

    /// Gives `take` the client as bytes. Of two clients that differ, neither's are the start of the other's.
    fn spell(&self, mut take: impl FnMut(&[u8])) {
        let mut parameters = self.parameters.iter();
        for part in &self.limit.by {
            let subject = self.subject;
            let value = match part {
                Part::Address => None,
                Part::Header(name) => {
                    let value = subject.head.headers.get(name);
                    value.map(|value| Value::Field(value.as_bytes()))
                }
                Part::Parameter(_) => {
                    let place = parameters.next();
                    place.map(|place| Value::Parameter(place.value(subject.path)))
                }
                Part::Consumer | Part::ApiKey | Part::Claim(_) => {
                    subject.identity.and_then(|identity| known(part, identity))
                }
            };
            value
                .unwrap_or(Value::Address(self.subject.client))
                .spell(&mut take);
        }
    }
}

/// What an identity has for a part.
fn known<'a>(part: &Part, identity: &'a Identity) -> Option<Value<'a>> {
    let text = match part {
        Part::Consumer => Cow::from(identity.subject.as_deref()?),
        // Keys have their names from the consumers they belong to.
        Part::ApiKey => {
            let (consumer, key) = (identity.subject.as_deref()?, identity.key.as_deref()?);
            Cow::from(format!("{consumer}\n{key}"))
        }
        Part::Claim(claim) => match identity.claims.find(claim)? {
            serde_json::Value::String(text) => Cow::from(text),
            other => Cow::from(other.to_string()),
        },
        Part::Address | Part::Header(_) | Part::Parameter(_) => return None,
    };
    Some(Value::Identity(&identity.authority, text))
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.limit.identity.hash(state);
        self.spell(|bytes| state.write(bytes));
    }
}

impl Value<'_> {
    /// Its kind, its length where that differs, and what it is.
    fn spell(&self, take: &mut impl FnMut(&[u8])) {
        let (kind, text) = match self {
            Self::Address(address) => return spell_subscriber(*address, take),
            Self::Identity(authority, text) => {
                Self::Parameter(Cow::from(*authority)).spell(take);
                (b'i', text.as_bytes())
            }
            Self::Field(text) => (b'h', *text),
            Self::Parameter(text) => (b'p', text.as_bytes()),
        };
        take(&[kind]);
        take(&(text.len() as u64).to_le_bytes());
        take(text);
    }
}

/// The address, less what an IPv6 subscriber may choose (RFC 6177). An IPv4 address is itself in either notation.
fn spell_subscriber(address: IpAddr, take: &mut impl FnMut(&[u8])) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            take(b"4");
            take(&address.octets());
        }
        IpAddr::V6(address) => {
            take(b"6");
            take(&address.octets()[..8]);
        }
    }
}
