//! Which coding a client would like best: `Accept-Encoding` (RFC 9110 §12.5.3).

use http::HeaderValue;

use super::coding::Coding;

/// Weights in thousandths (RFC 9110 §12.4.2).
const MOST: u16 = 1000;

/// What a client says of the codings.
#[derive(Debug, Default)]
struct Preferences {
    codings: [Option<u16>; Coding::ALL.len()],
    identity: Option<u16>,
    /// `*`: of what is not named.
    others: Option<u16>,
}

/// The coding that the client likes best; none where it likes the plain form better, or says nothing.
pub(super) fn accepted<'a>(values: impl IntoIterator<Item = &'a HeaderValue>) -> Option<Coding> {
    let mut preferences = Preferences::default();
    for value in values {
        for item in value.as_bytes().split(|&byte| byte == b',') {
            preferences.take(item);
        }
    }
    preferences.best()
}

impl Preferences {
    /// `coding` or `coding;q=0.5`. What is malformed is passed over.
    fn take(&mut self, item: &[u8]) {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let mut weight = MOST;
        for parameter in parts {
            match parameter {
                [b'q' | b'Q', b'=', number @ ..] => match thousandths(number) {
                    Some(number) => weight = number,
                    None => return,
                },
                _ => return,
            }
        }
        if let Some(coding) = Coding::named(name) {
            for (known, preference) in Coding::ALL.iter().zip(&mut self.codings) {
                if *known == coding {
                    *preference = Some(weight);
                }
            }
        } else if name.eq_ignore_ascii_case(b"identity") {
            self.identity = Some(weight);
        } else if name == b"*" {
            self.others = Some(weight);
        }
    }

    fn best(&self) -> Option<Coding> {
        let mut best = None;
        // The plain form is the best of those that are liked least.
        let mut most = self.identity.unwrap_or(0);
        for (coding, preference) in Coding::ALL.into_iter().zip(self.codings) {
            let weight = preference.or(self.others).unwrap_or(0);
            let better = match best {
                None => weight > 0 && weight >= most,
                Some(_) => weight > most,
            };
            if better {
                (best, most) = (Some(coding), weight);
            }
        }
        best
    }
}

/// `0`, `0.5`, `1.000`, in thousandths.
fn thousandths(number: &[u8]) -> Option<u16> {
    let (whole, fraction) = match number {
        [whole] => (whole, &[][..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |index: usize| {
        fraction
            .get(index)
            .map_or(0, |digit| u16::from(digit - b'0'))
    };
    let number = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (number <= MOST).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coding_is_the_one_that_the_client_likes_best() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, br", Some("br")),
            ("gzip", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("GZIP;Q=0.5 , br ; q=0.4", Some("gzip")),
            ("gzip;q=0.001", Some("gzip")),
            ("*", Some("zstd")),
            ("*;q=0.5, gzip", Some("gzip")),
            ("zstd;q=0, *", Some("br")),
            ("identity, gzip", Some("gzip")),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0, gzip;q=0.5", Some("gzip")),
            ("gzip;q=0", None),
            ("*;q=0", None),
            ("deflate", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=1.001", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=x", None),
            ("gzip;level=9", None),
            ("gzip;q=", None),
            (";;,,gzip,", Some("gzip")),
        ] {
            let value = HeaderValue::from_static(value);
            let coding = accepted([&value]).map(Coding::name);
            assert_eq!(coding, expected, "{value:?}");
        }
        let several = [
            HeaderValue::from_static("gzip"),
            HeaderValue::from_static("br"),
        ];
        assert_eq!(accepted(&several).map(Coding::name), Some("br"));
        assert_eq!(accepted([]).map(Coding::name), None);
    }
}
