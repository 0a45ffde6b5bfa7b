//! An authority that issues certificates.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    SignatureAlgorithm, date_time_ymd,
};
use time::{Duration, OffsetDateTime};

/// An authority.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
    /// Its number.
    pub serial: u64,
}

impl Authority {
    /// One that is called so.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate().expect("a key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
        }
    }

    /// Its own certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for these names, with an ECDSA key.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(&rcgen::PKCS_ECDSA_P256_SHA256, params(names))
    }

    /// A certificate for these names, with an RSA key.
    #[must_use]
    pub fn issue_rsa(&self, names: &[&str]) -> Issued {
        self.issue_with(&rcgen::PKCS_RSA_SHA256, params(names))
    }

    /// A certificate for these names, which has ended.
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        let mut params = params(names);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.issue_with(&rcgen::PKCS_ECDSA_P256_SHA256, params)
    }

    /// A certificate for a workload (SPIFFE).
    #[must_use]
    pub fn issue_for_uri(&self, uri: &str) -> Issued {
        let mut params = params(&[]);
        params.subject_alt_names = vec![SanType::URI(uri.try_into().expect("a URI"))];
        self.issue_with(&rcgen::PKCS_ECDSA_P256_SHA256, params)
    }

    fn issue_with(
        &self,
        algorithm: &'static SignatureAlgorithm,
        mut params: CertificateParams,
    ) -> Issued {
        let serial = fastrand::u64(1..1 << 62);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            serial,
        }
    }

    /// The list of what it has revoked, PEM.
    #[must_use]
    pub fn revoke(&self, revoked: &[&Issued]) -> String {
        let now = OffsetDateTime::now_utc();
        let entry = |issued: &&Issued| RevokedCertParams {
            serial_number: SerialNumber::from(issued.serial),
            revocation_time: now - Duration::minutes(1),
            reason_code: None,
            invalidity_date: None,
        };
        CertificateRevocationListParams {
            this_update: now - Duration::minutes(1),
            next_update: now + Duration::days(1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(entry).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .expect("a list")
        .pem()
        .expect("PEM")
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).expect("names")
}
