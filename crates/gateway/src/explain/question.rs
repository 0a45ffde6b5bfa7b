//! The request that is asked about.

use std::net::{IpAddr, Ipv4Addr};

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri, request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More fields than any request that is accepted has by default.
const MOST_FIELDS: usize = 200;

/// The request that is asked about.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) head: request::Parts,
    /// Who sends it.
    pub(crate) from: IpAddr,
}

/// As it is asked over the admin listener.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// `http://host/path?query`, or `/path?query`.
    pub(crate) url: String,
    /// `Name: value`, each.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// The address that it comes from; this machine where none is given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(crate) from: Option<IpAddr>,
}

/// What is not understood of a question. Displays without the values of fields, which may be secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuestionError {
    #[error("\"{0}\" is no method; write GET, POST or the like")]
    Method(String),
    #[error("\"{0}\" is no URL; write http://host/path or /path")]
    Url(String),
    #[error("field {0} is not \"Name: value\"")]
    Field(usize),
    #[error("at most {MOST_FIELDS} fields can be given")]
    TooManyFields,
}

impl TryFrom<&Asked> for Question {
    type Error = QuestionError;

    fn try_from(asked: &Asked) -> Result<Self, QuestionError> {
        let method = Method::from_bytes(asked.method.as_bytes())
            .map_err(|_| QuestionError::Method(asked.method.clone()))?;
        let not_a_url = || QuestionError::Url(asked.url.clone());
        let url: Uri = asked.url.parse().map_err(|_| not_a_url())?;
        let target = url.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut head = Request::new(()).into_parts().0;
        head.method = method;
        head.uri = target.parse().map_err(|_| not_a_url())?;
        if let Some(authority) = url.authority() {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| not_a_url())?;
            head.headers.insert(HOST, host);
        }
        if asked.headers.len() > MOST_FIELDS {
            return Err(QuestionError::TooManyFields);
        }
        for (index, field) in asked.headers.iter().enumerate() {
            let (name, value) = parse(field).ok_or(QuestionError::Field(index + 1))?;
            if name == HOST {
                head.headers.insert(name, value);
            } else {
                head.headers.append(name, value);
            }
        }
        Ok(Self {
            head,
            from: asked.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        })
    }
}

fn parse(field: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = field.split_once(':')?;
    let value = value.trim_matches([' ', '\t']);
    Some((name.parse().ok()?, HeaderValue::from_str(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, url: &str, headers: &[&str]) -> Result<Question, QuestionError> {
        Question::try_from(&Asked {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: headers.iter().map(|&field| field.to_owned()).collect(),
            from: None,
        })
    }

    #[test]
    fn a_url_becomes_host_and_target() {
        let question = asked("GET", "http://api.example.com:81/a?b=c", &["X-A:  1 "]).unwrap();
        assert_eq!(question.head.uri, "/a?b=c");
        assert_eq!(question.head.headers["host"], "api.example.com:81");
        assert_eq!(question.head.headers["x-a"], "1");
        let question = asked("GET", "/a", &["Host: other"]).unwrap();
        assert_eq!(question.head.headers["host"], "other");
    }

    #[test]
    fn what_is_not_understood_is_named_without_values() {
        let error = |method, url, headers: &[&str]| asked(method, url, headers).unwrap_err();
        assert_eq!(error("G T", "/", &[]), QuestionError::Method("G T".into()));
        assert_eq!(error("GET", "a b", &[]), QuestionError::Url("a b".into()));
        let message = error("GET", "/", &["A: 1", "secret"]).to_string();
        assert_eq!(message, "field 2 is not \"Name: value\"");
        let many = ["A: 1"; MOST_FIELDS + 1];
        assert_eq!(error("GET", "/", &many), QuestionError::TooManyFields);
    }
}
