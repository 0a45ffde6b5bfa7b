//! Sets of statuses.

/// A set of statuses from 100 to 599.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statuses(Box<[bool; 500]>);

/// The lowest status.
const FIRST: u16 = 100;

impl Default for Statuses {
    fn default() -> Self {
        Self(Box::new([false; 500]))
    }
}

impl Statuses {
    /// Adds the statuses that `text` names: `503`, or `5xx`.
    ///
    /// # Errors
    /// When it names none.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), &'static str> {
        let class = text
            .strip_suffix("xx")
            .and_then(|digit| digit.parse::<u16>().ok())
            .filter(|class| (1..=5).contains(class));
        let range = match (class, text.parse::<u16>()) {
            (Some(class), _) => class * 100..class * 100 + 100,
            (None, Ok(code)) if (FIRST..600).contains(&code) => code..code + 1,
            _ => {
                return Err(
                    "must be a status from 100 to 599, such as 503, or a class of them, such as \"5xx\"",
                );
            }
        };
        for code in range {
            if let Some(place) = self.0.get_mut(usize::from(code - FIRST)) {
                *place = true;
            }
        }
        Ok(())
    }

    /// Whether a status is among them.
    pub(crate) fn contain(&self, status: u16) -> bool {
        let place = status.checked_sub(FIRST).map(usize::from);
        place.and_then(|place| self.0.get(place)) == Some(&true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_named_one_by_one_or_by_class() {
        let mut statuses = Statuses::default();
        statuses.add("404").unwrap();
        statuses.add("5xx").unwrap();
        for (status, is_in) in [
            (404, true),
            (403, false),
            (500, true),
            (599, true),
            (600, false),
            (99, false),
        ] {
            assert_eq!(statuses.contain(status), is_in, "{status}");
        }
        for text in ["", "xx", "6xx", "0xx", "99", "600", "abc", "-1"] {
            assert!(statuses.add(text).is_err(), "{text}");
        }
    }
}
