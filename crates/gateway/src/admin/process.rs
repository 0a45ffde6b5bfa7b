//! Which process serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known of this process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) failed_upgrades: Arc<AtomicU64>,
}

/// The same, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessReport {
    /// Its id.
    pub(crate) pid: i32,
    /// Of the program.
    pub(crate) version: String,
    /// How often another process was to take over, and did not.
    pub(crate) failed_upgrades: u64,
}

/// The process that answers.
#[utoipa::path(get, path = "/process", tag = "health", security(()), responses((status = 200, body = ProcessReport)))]
pub(super) async fn tell(State(process): State<Process>) -> Json<ProcessReport> {
    Json(ProcessReport {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        failed_upgrades: process.failed_upgrades.load(Ordering::Relaxed),
    })
}
