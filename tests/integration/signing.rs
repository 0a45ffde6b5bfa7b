//! Keys and tokens that do not come from the program: made by OpenSSL and by another library.

use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// A private key, and the ways to sign with it.
pub(crate) struct SigningKey {
    pem: String,
    kind: Kind,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

impl SigningKey {
    pub(crate) fn new(kind: Kind) -> Self {
        let options: &[&str] = match kind {
            Kind::Rsa => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            Kind::P256 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Kind::P384 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Kind::P521 => &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
            Kind::Ed25519 => &["-algorithm", "ED25519"],
        };
        let pem = openssl(&[&["genpkey"], options].concat(), b"");
        Self {
            pem: String::from_utf8(pem).unwrap(),
            kind,
        }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The private half.
    pub(crate) fn private_pem(&self) -> &str {
        &self.pem
    }

    /// The public half.
    pub(crate) fn public_pem(&self) -> String {
        String::from_utf8(openssl(&["pkey", "-pubout"], self.pem.as_bytes())).unwrap()
    }

    /// The public half of an Ed25519 key.
    pub(crate) fn jwk(&self, kid: &str) -> Value {
        assert_eq!(self.kind, Kind::Ed25519);
        let der = openssl(&["pkey", "-pubout", "-outform", "DER"], self.pem.as_bytes());
        let x = URL_SAFE_NO_PAD.encode(&der[der.len() - 32..]);
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": x })
    }

    /// A token with these claims.
    pub(crate) fn sign(&self, algorithm: &str, kid: Option<&str>, claims: &Value) -> String {
        if algorithm == "ES512" {
            return self.sign_es512(claims);
        }
        let algorithm: Algorithm = algorithm.parse().unwrap();
        let pem = self.pem.as_bytes();
        let key = match self.kind {
            Kind::Rsa => EncodingKey::from_rsa_pem(pem),
            Kind::Ed25519 => EncodingKey::from_ed_pem(pem),
            Kind::P256 | Kind::P384 | Kind::P521 => EncodingKey::from_ec_pem(pem),
        };
        let header = Header {
            kid: kid.map(str::to_owned),
            ..Header::new(algorithm)
        };
        jsonwebtoken::encode(&header, claims, &key.unwrap()).unwrap()
    }

    /// The other library does not know it: OpenSSL signs, in ASN.1, and the two numbers are taken out.
    fn sign_es512(&self, claims: &Value) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES512"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let file = std::env::temp_dir().join(format!("key-{:016x}.pem", fastrand::u64(..)));
        std::fs::write(&file, &self.pem).unwrap();
        let path = file.display().to_string();
        let der = openssl(&["dgst", "-sha512", "-sign", &path], signed.as_bytes());
        std::fs::remove_file(&file).unwrap();
        // SEQUENCE with a long length, INTEGER r, INTEGER s.
        let mut rest = &der[3..];
        let mut raw = Vec::new();
        for _ in 0..2 {
            let length = usize::from(rest[1]);
            let number = &rest[2..2 + length];
            let number = &number[length.saturating_sub(66)..];
            raw.extend(std::iter::repeat_n(0, 66 - number.len()));
            raw.extend_from_slice(number);
            rest = &rest[2 + length..];
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(raw))
    }
}

/// A token by a shared secret.
pub(crate) fn hs256(secret: &[u8], claims: &Value) -> String {
    jsonwebtoken::encode(
        &Header::default(),
        claims,
        &EncodingKey::from_secret(secret),
    )
    .unwrap()
}

/// Claims of somebody, valid for long.
pub(crate) fn claims(issuer: &str) -> Value {
    json!({ "iss": issuer, "sub": "anna", "exp": 4_102_444_800_u64 })
}

/// What OpenSSL prints.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is needed: apt-get install openssl");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}
