//! Which addresses may use a route.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::error::ErrorCode;

/// Whose requests a route takes.
#[derive(Debug, Default)]
pub struct IpRules {
    /// Only these; all where there are none.
    pub(crate) allow: Box<[IpNet]>,
    /// Not these, even if they are allowed.
    pub(crate) deny: Box<[IpNet]>,
}

impl IpRules {
    /// Whether a client may use the route.
    ///
    /// # Errors
    /// When it may not.
    pub(crate) fn check(&self, client: IpAddr) -> Result<(), ErrorCode> {
        // Networks of IPv4 are to hold for its addresses in either notation.
        let client = client.to_canonical();
        let among = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        let allowed = self.allow.is_empty() || among(&self.allow);
        if allowed && !among(&self.deny) {
            Ok(())
        } else {
            Err(ErrorCode::AddressNotAllowed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_must_be_allowed_and_not_denied() {
        let rules = IpRules {
            allow: ["10.0.0.0/8", "2001:db8::/32"]
                .map(|text| text.parse().unwrap())
                .into(),
            deny: ["10.1.0.0/16".parse().unwrap()].into(),
        };
        let may = |address: &str| rules.check(address.parse().unwrap()).is_ok();
        assert!(may("10.2.3.4") && may("::ffff:10.2.3.4") && may("2001:db8::1"));
        assert!(!may("10.1.2.3") && !may("::ffff:10.1.2.3") && !may("192.0.2.1") && !may("::1"));
        let deny_only = IpRules {
            allow: [].into(),
            ..rules
        };
        assert!(deny_only.check("192.0.2.1".parse().unwrap()).is_ok());
        assert!(deny_only.check("10.1.2.3".parse().unwrap()).is_err());
    }
}
