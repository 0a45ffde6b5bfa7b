//! Sizes as people write them.

/// The bytes that `text` names: a number, perhaps with `KiB`, `MiB` or `GiB`, in any case and down to the first letter.
/// None when it names none, or more than can be counted.
pub(super) fn parse(text: &str) -> Option<u64> {
    let digits = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// The share of `whole` that `text` names, from 1% to 100%. None when it names none.
pub(super) fn percent(text: &str, whole: u64) -> Option<u64> {
    let percent: u64 = text.strip_suffix('%')?.trim_end().parse().ok()?;
    let is_share = (1..=100).contains(&percent);
    // In this order, which cannot overflow.
    is_share.then(|| whole / 100 * percent + whole % 100 * percent / 100)
}

/// The bytes that a body may have, as `text` has it: a size, or "off" for any.
pub(super) fn body_size(text: &str) -> Result<u64, String> {
    if text == "off" {
        return Ok(u64::MAX);
    }
    parse(text).ok_or_else(|| {
        "must be a size such as 10485760, 10MiB or 1GiB, or \"off\" for any".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, size) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64KiB", 65_536),
            ("64 k", 65_536),
            ("10MiB", 10_485_760),
            ("2g", 2 << 30),
        ] {
            assert_eq!(parse(text), Some(size), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "10MB", "99999999999999GiB"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn shares_are_in_percent() {
        assert_eq!(percent("25%", 1000), Some(250));
        assert_eq!(percent("100 %", u64::MAX), Some(u64::MAX));
        assert_eq!(percent("50%", 199), Some(99));
        for text in ["", "%", "0%", "101%", "-1%", "1.5%", "25"] {
            assert_eq!(percent(text, 1000), None, "{text}");
        }
    }

    #[test]
    fn a_body_may_have_any_size() {
        assert_eq!(body_size("off"), Ok(u64::MAX));
        assert_eq!(body_size("1KiB"), Ok(1024));
        assert!(body_size("much").is_err());
    }
}
