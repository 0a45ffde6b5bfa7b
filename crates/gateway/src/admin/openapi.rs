//! The admin listener as an OpenAPI document, made from what answers.

use axum::Json;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{
    breakers, config, errors, explain, health, limits, log_level, process, purge, routes, upstreams,
};

/// What there is.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "api-gateway admin",
        description = "How things stand in a running gateway, and changing them. GET /metrics is beside it.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    servers((url = "http://127.0.0.1:9901")),
    security(("token" = [])),
    modifiers(&Token),
    paths(
        health::alive, health::ready, process::tell, routes::list, upstreams::list, upstreams::drain, upstreams::undrain,
        breakers::list, breakers::force, limits::list, purge::purge, explain::answer, config::present,
        config::apply, config::validate, config::history, config::status, config::reload,
        config::rollback, errors::list, log_level::get, log_level::put,
    )
)]
struct Document;

/// The token that is shown.
struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// The text of `docs/openapi.json`.
#[must_use]
pub fn openapi() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

pub(super) async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
