//! Bodies of answers to requests of the gateway's own, read within a limit.

use reqwest::Response;

/// The rest of the body; none where it is larger than `most` bytes.
///
/// # Errors
/// When it does not come whole. The error does not name the URL, which may hold a password.
pub(super) async fn within(
    answer: &mut Response,
    most: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
