//! The `Host` field and the authority of a target (RFC 9110 §7.2, RFC 3986 §3.2).

/// Whether `value` is `uri-host [ ":" port ]`: a reg-name, an IPv4 address or a bracketed IP literal. Empty is
/// allowed, as for targets without an authority.
pub fn is_host(value: &[u8]) -> bool {
    let (host, port) = if value.first() == Some(&b'[') {
        match memchr::memchr(b']', value) {
            Some(end)
                if end > 1
                    && value[1..end]
                        .iter()
                        .all(|byte| byte.is_ascii_hexdigit() || b":.".contains(byte)) =>
            {
                (&value[..0], &value[end + 1..])
            }
            _ => return false,
        }
    } else {
        value.split_at(memchr::memchr(b':', value).unwrap_or(value.len()))
    };
    let port_is_fine = match port.split_first() {
        None => true,
        Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    };
    port_is_fine && host.iter().all(|&byte| is_reg_name(byte))
}

/// The host of an authority, with the brackets of an IPv6 address.
#[must_use]
pub fn without_port(authority: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', authority) {
        Some(colon) if !authority.ends_with(b"]") => &authority[..colon],
        _ => authority,
    }
}

/// `unreserved / sub-delims`, and `%` for percent-encoded ones.
fn is_reg_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::{is_host, without_port};

    #[test]
    fn names_addresses_and_ports_are_hosts() {
        for host in [
            "",
            "a",
            "example.com:8080",
            "[::1]",
            "[::1]:80",
            "0.0.0.0=5000",
            "a:",
            "xn--bcher-kva.example",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for host in [
            "a b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "[]", "[::1]x", "a:123456", "a\\b", "a?b",
            "a#b", "é", "a,b/",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_port_is_taken_off_and_an_address_stays() {
        for (authority, host) in [
            ("a.test:80", "a.test"),
            ("a.test", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(without_port(authority.as_bytes()), host.as_bytes());
        }
    }
}
