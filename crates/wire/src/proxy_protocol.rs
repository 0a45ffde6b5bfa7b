//! The PROXY protocol, versions 1 and 2: what a load balancer says first about whose connection it passes on
//! (<https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>).
//!
//! Pure: bytes in, a header out. Strict, since a header that could be read in two ways would let clients choose their
//! address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How version 2 begins (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2 up to its length.
const FIXED: usize = 16;
/// The longest line of version 1, with its end (§2.1).
const LONGEST_LINE: usize = 107;
/// The longest header of version 2 that is taken: addresses, and a good deal of extensions.
const LONGEST: usize = 4096;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The load balancer's own, such as a health check, or it cannot tell.
    Local,
    /// From a client to the address that it has connected to.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// Where it has connected to.
        destination: SocketAddr,
    },
}

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The header, and how many bytes it has.
    Done(Header, usize),
    /// The header has at least so many bytes.
    Needs(usize),
}

/// What is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY protocol header: {0}")]
pub struct Malformed(&'static str);

/// Reads the header at the start of `bytes`.
///
/// # Errors
/// When there is none.
pub fn parse(bytes: &[u8]) -> Result<Progress, Malformed> {
    let common = bytes.len().min(SIGNATURE.len());
    if !bytes.is_empty() && bytes[..common] == SIGNATURE[..common] {
        return binary(bytes);
    }
    let common = bytes.len().min(6);
    if bytes[..common] == b"PROXY "[..common] {
        return text(bytes);
    }
    Err(Malformed("it begins otherwise"))
}

/// Version 1: a line.
fn text(bytes: &[u8]) -> Result<Progress, Malformed> {
    let within = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = memchr::memmem::find(within, b"\r\n") else {
        return if bytes.len() >= LONGEST_LINE {
            Err(Malformed("its line is too long"))
        } else {
            Ok(Progress::Needs(bytes.len() + 1))
        };
    };
    let line = std::str::from_utf8(&within[..end]).map_err(|_| Malformed("its line is no text"))?;
    let words: Vec<&str> = line.split(' ').collect();
    let header = match &words[..] {
        // Whatever follows is to be ignored.
        ["PROXY", "UNKNOWN", ..] => Header::Local,
        [
            "PROXY",
            family,
            source,
            destination,
            source_port,
            destination_port,
        ] => {
            let address = |text: &str| address(family, text);
            Header::Proxied {
                source: SocketAddr::new(address(source)?, port(source_port)?),
                destination: SocketAddr::new(address(destination)?, port(destination_port)?),
            }
        }
        _ => return Err(Malformed("its line has another form")),
    };
    Ok(Progress::Done(header, end + 2))
}

fn address(family: &str, text: &str) -> Result<IpAddr, Malformed> {
    let parsed = match family {
        "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::from),
        "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::from),
        _ => return Err(Malformed("its family is unknown")),
    };
    parsed.map_err(|_| Malformed("it holds what is no address"))
}

fn port(text: &str) -> Result<u16, Malformed> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = is_number && (text == "0" || !text.starts_with('0'));
    text.parse()
        .ok()
        .filter(|_| plain)
        .ok_or(Malformed("it holds what is no port"))
}

/// Version 2.
fn binary(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(Progress::Needs(FIXED));
    };
    let (version_and_command, family) = (fixed[12], fixed[13]);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if FIXED + length > LONGEST {
        return Err(Malformed("it is too long"));
    }
    let Some(payload) = rest.get(..length) else {
        return Ok(Progress::Needs(FIXED + length));
    };
    let header = match (version_and_command, family) {
        (0x20, _) => Header::Local,
        (0x21, 0x11) => addresses::<4>(payload)?,
        (0x21, 0x21) => addresses::<16>(payload)?,
        // §2.2: what is not understood is passed over.
        (0x21, 0x00) => Header::Local,
        (0x21, _) => return Err(Malformed("it is about no TCP connection")),
        _ => return Err(Malformed("its version or command is unknown")),
    };
    Ok(Progress::Done(header, FIXED + length))
}

/// Two addresses, then two ports; what follows are extensions.
fn addresses<const N: usize>(payload: &[u8]) -> Result<Header, Malformed>
where
    IpAddr: From<[u8; N]>,
{
    const SHORT: Malformed = Malformed("its addresses are cut off");
    let (source, rest) = payload.split_first_chunk::<N>().ok_or(SHORT)?;
    let (destination, rest) = rest.split_first_chunk::<N>().ok_or(SHORT)?;
    let (source_port, rest) = rest.split_first_chunk().ok_or(SHORT)?;
    let (destination_port, _) = rest.split_first_chunk().ok_or(SHORT)?;
    Ok(Header::Proxied {
        source: SocketAddr::new((*source).into(), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new((*destination).into(), u16::from_be_bytes(*destination_port)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxied(source: &str, destination: &str) -> Header {
        Header::Proxied {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, payload].concat()
    }

    #[test]
    fn headers_of_both_versions_are_read() {
        let v4 = [
            &[192, 0, 2, 1, 10, 0, 0, 1][..],
            &[0x30, 0x39, 0x01, 0xbb],
            b"tlv",
        ]
        .concat();
        let mut v6 = [0; 36];
        (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 80, 90);
        for (bytes, header) in [
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 443\r\n".to_vec(),
                proxied("192.0.2.1:12345", "10.0.0.1:443"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 1 0\r\n".to_vec(),
                proxied("[2001:db8::1]:1", "[::1]:0"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), Header::Local),
            (b"PROXY UNKNOWN a b c\r\n".to_vec(), Header::Local),
            (
                version_2(0x21, 0x11, &v4),
                proxied("192.0.2.1:12345", "10.0.0.1:443"),
            ),
            (version_2(0x21, 0x21, &v6), proxied("[::1]:80", "[::2]:90")),
            (version_2(0x20, 0x00, b""), Header::Local),
            (version_2(0x20, 0x11, &v4), Header::Local),
            (version_2(0x21, 0x00, b""), Header::Local),
        ] {
            let length = bytes.len();
            let followed = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&followed), Ok(Progress::Done(header, length)));
            for cut in 0..length {
                let Ok(Progress::Needs(needed)) = parse(&bytes[..cut]) else {
                    panic!("{:?}: {:?}", &bytes[..cut], parse(&bytes[..cut]));
                };
                assert!(
                    (cut + 1..=length).contains(&needed),
                    "never more than there is"
                );
            }
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1  10.0.0.1 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"\x16\x03\x01",
            &long,
            &version_2(0x21, 0x11, &[1, 2, 3]),
            &version_2(0x31, 0x11, &[0; 12]),
            &version_2(0x22, 0x11, &[0; 12]),
            &version_2(0x21, 0x12, &[0; 12]),
            &version_2(0x21, 0x31, &[0; 216]),
            &version_2(0x21, 0x11, &[0; LONGEST]),
        ] {
            assert!(
                parse(bytes).is_err(),
                "{:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }
}
