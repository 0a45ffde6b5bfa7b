//! Bodies of forms, read whole within a limit.

use std::future::poll_fn;

use wire::{Body, BodyError};

/// Larger forms are refused: a client's name, its password and some scopes are far smaller.
const LARGEST: usize = 16 * 1024;

/// The fields of a form.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body of the type `application/x-www-form-urlencoded`.
    ///
    /// # Errors
    /// When it does not come whole, or is too large.
    pub(super) async fn read(mut body: Body) -> Result<Self, BodyError> {
        let mut bytes = Vec::new();
        while let Some(frame) = poll_fn(|context| body.poll_next(context)).await {
            if let Ok(data) = frame?.into_data() {
                if bytes.len() + data.len() > LARGEST {
                    return Err(BodyError::TooLarge);
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok(Self(form_urlencoded::parse(&bytes).into_owned().collect()))
    }

    /// The value of a field; an empty one counts as none. An error where it stands twice (RFC 6749 §3.2).
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, Twice> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            None => Ok(first.filter(|value| !value.is_empty())),
            Some(_) => Err(Twice),
        }
    }
}

/// A field stands twice in a form.
pub(super) struct Twice;
