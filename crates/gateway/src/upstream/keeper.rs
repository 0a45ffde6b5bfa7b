//! What the control plane does for an upstream.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{OptionFuture, select_all};
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};

use super::dns::{Names, Watched};
use super::{HealthCheck, Upstream, health_check};
use crate::tls::keep_backend_fresh;

/// Between the news that one name leads elsewhere and what is made of it: others often come with it. Where there is
/// nobody yet, somebody may wait, and it is not waited for.
const GATHER: Duration = Duration::from_millis(20);
/// How often ejections are looked over.
const TICK: Duration = Duration::from_secs(1);

/// Follows the names of the endpoints, which `names` resolves, checks where they lead, if they are to be checked, reads the
/// files of TLS anew when they change, and keeps the balancer up to date, for as long as it is polled.
pub(crate) async fn keep(upstream: &Upstream, names: Option<&Names>) {
    let follow = names.map(|names| follow(upstream, names));
    let checks = upstream.health.as_ref();
    let checks = checks.map(|health| check(upstream, health));
    let tls = upstream.balancer.roster().tls.as_deref();
    tokio::join!(
        OptionFuture::from(follow),
        OptionFuture::from(checks),
        OptionFuture::from(tls.map(keep_backend_fresh)),
        tick(upstream)
    );
}

/// Has the members be those that names lead to.
async fn follow(upstream: &Upstream, names: &Names) {
    let questions = upstream.endpoints().iter();
    let questions = questions.map(|endpoint| endpoint.target.host.question());
    let mut named: Vec<Option<Watched>> = questions
        .map(|question| question.map(|question| names.watch(question)))
        .collect();
    if named.iter().all(Option::is_none) {
        return;
    }
    loop {
        for watched in named.iter_mut().flatten() {
            // What comes after this is seen below.
            watched.answers.mark_unchanged();
        }
        upstream.balancer.update(&named, Instant::now());
        let changes = named.iter_mut().flatten();
        let changes: Vec<_> = changes
            .map(|watched| Box::pin(watched.answers.changed()))
            .collect();
        // Whoever watches a name keeps what tells of it.
        let (Ok(()), ..) = select_all(changes).await else {
            return;
        };
        if upstream.balancer.len() > 0 {
            sleep(GATHER).await;
        }
    }
}

/// Checks all members, those that come and no more those that go.
async fn check(upstream: &Upstream, health: &HealthCheck) {
    let mut replaced = upstream.balancer.replaced();
    let mut checked = HashSet::new();
    let mut watches = FuturesUnordered::new();
    loop {
        for member in &*upstream.balancer.members().all {
            let id = member.id;
            if checked.insert(id) {
                watches.push(async move {
                    health_check::watch(upstream, health, id).await;
                    id
                });
            }
        }
        tokio::select! {
            Some(gone) = watches.next() => {
                checked.remove(&gone);
            }
            changed = replaced.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn tick(upstream: &Upstream) {
    loop {
        tokio::select! {
            () = sleep(TICK) => {}
            () = upstream.balancer.changed() => {}
        }
        upstream.balancer.tick(Instant::now());
    }
}
