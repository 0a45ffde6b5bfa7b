//! Against a real DNS server.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use testkit::{Dns, within};

use super::lookup::Lookup;
use super::names::Ask;
use super::schedule::Outcome;
use super::system::System;
use super::*;
use crate::config::DnsSettings;

const USERS: &str = "10.0.0.1 users.test\n10.0.0.2 users.test\nfd00::1 users.test\n";
const PLACES: [&str; 2] = ["10.0.0.1:80 or [fd00::1]:80", "10.0.0.2:80 or [fd00::1]:80"];

/// A system whose hosts file is of no consequence.
fn system(servers: &[SocketAddr]) -> System {
    System::with_hosts(&settings(servers), PathBuf::from("/nowhere"))
}

fn settings(servers: &[SocketAddr]) -> DnsSettings {
    DnsSettings {
        servers: servers.to_vec(),
        timeout: Duration::from_millis(500),
    }
}

fn run(servers: &[SocketAddr]) -> Arc<Names> {
    let names = Arc::new(Names::with_system(system(servers), Arc::default()));
    let running = Arc::clone(&names);
    tokio::spawn(async move { running.run().await });
    names
}

fn host(name: &str) -> Question {
    Question::Addresses {
        host: name.into(),
        port: 80,
    }
}

fn service(name: &str) -> Question {
    Question::Services { name: name.into() }
}

/// Waits until these are the places, written `address weight priority` where the last two are not 1 and 0, and before that
/// the addresses to fall back on.
async fn until(watched: &mut Watched, places: &[&str]) {
    let is_so = |answer: &Option<Arc<Answer>>| {
        answer
            .as_ref()
            .is_some_and(|answer| shown(answer) == places)
    };
    let what = format!("{places:?}");
    within(&what, watched.answers.wait_for(is_so))
        .await
        .unwrap();
}

fn shown(answer: &Answer) -> Vec<String> {
    let places = answer.resolved.iter();
    places
        .map(|place| {
            let all = [place.address].into_iter().chain(place.fallbacks.clone());
            let all: Vec<_> = all.map(|address| address.to_string()).collect();
            let all = all.join(" or ");
            match (place.weight, place.priority) {
                (1, 0) => all,
                (weight, priority) => format!("{all} {weight} {priority}"),
            }
        })
        .collect()
}

/// One look-up by itself.
async fn outcome(system: System, question: Question) -> Result<Vec<String>, String> {
    let mut lookup = Lookup::new(Arc::new(system), question);
    match within("a look-up", lookup.ask()).await {
        Outcome::Found { answer, .. } => Ok(shown(&answer)),
        Outcome::Absent { .. } => Err("absent".to_owned()),
        Outcome::Failed(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn all_addresses_are_found_and_others_when_their_time_is_over() {
    let dns = Dns::start(USERS).await;
    let names = run(&[dns.address()]);
    let mut users = names.watch(host("users.test"));
    until(&mut users, &PLACES).await;
    dns.set_hosts("10.0.0.3 users.test\n").await;
    until(&mut users, &["10.0.0.3:80"]).await;
}

#[tokio::test]
async fn the_time_to_live_is_that_of_the_records() {
    let dns = Dns::with_arguments("", &["--host-record=users.test,10.0.0.1,120"]).await;
    let mut lookup = Lookup::new(Arc::new(system(&[dns.address()])), host("users.test."));
    let Outcome::Found { ttl, .. } = lookup.ask().await else {
        panic!("nothing found");
    };
    assert!((110..=120).contains(&ttl.as_secs()), "{ttl:?}");
}

#[tokio::test]
async fn services_have_ports_weights_and_priorities() {
    let hosts = "10.0.0.1 a.test\n10.0.0.2 b.test\nfd00::2 b.test\n10.0.0.3 c.test\n";
    let records = [
        "--srv-host=_http._tcp.users.test,a.test,8081,1,10",
        "--srv-host=_http._tcp.users.test,b.test,8082,1,30",
        "--srv-host=_http._tcp.users.test,c.test,8083,2,0",
        "--srv-host=_http._tcp.users.test,gone.test,8084,2,0",
    ];
    let dns = Dns::with_arguments(hosts, &records).await;
    let names = run(&[dns.address()]);
    let mut users = names.watch(service("_http._tcp.users.test"));
    let (a, b) = ("10.0.0.1:8081 10 1", "10.0.0.2:8082 or [fd00::2]:8082 30 1");
    until(&mut users, &[a, b, "10.0.0.3:8083 1 2"]).await;
    dns.set_hosts("10.0.0.1 a.test\n10.0.0.9 c.test\n").await;
    until(&mut users, &[a, "10.0.0.9:8083 1 2"]).await;
}

#[tokio::test]
async fn a_service_without_a_target_is_absent() {
    let dns = Dns::with_arguments("", &["--srv-host=_http._tcp.users.test"]).await;
    let servers = [dns.address()];
    let absent = Err("absent".to_owned());
    assert_eq!(
        outcome(system(&servers), service("_http._tcp.users.test")).await,
        absent
    );
    assert_eq!(
        outcome(system(&servers), service("_http._tcp.other.test")).await,
        absent
    );
}

#[tokio::test]
async fn a_part_that_fails_is_what_it_was() {
    let records = [
        "--srv-host=_http._tcp.users.test,a.test,80,0,1",
        "--srv-host=_http._tcp.users.test,b.example,80,0,1",
    ];
    // Outside of "test" the server knows what it has, and refuses to tell about all else, such as AAAA records.
    let dns = Dns::with_arguments("10.0.0.1 a.test\n10.0.0.2 b.example\n", &records).await;
    let names = run(&[dns.address()]);
    let mut users = names.watch(service("_http._tcp.users.test"));
    until(&mut users, &["10.0.0.1:80", "10.0.0.2:80"]).await;
    dns.set_hosts("10.0.0.9 a.test\n").await;
    until(&mut users, &["10.0.0.2:80", "10.0.0.9:80"]).await;
    let mut others = names.watch(service("_http._tcp.users.test."));
    until(&mut others, &["10.0.0.9:80"]).await;
}

#[tokio::test]
async fn the_last_answer_is_kept_while_the_server_is_away() {
    let mut dns = Dns::start(USERS).await;
    let names = run(&[dns.address()]);
    let mut users = names.watch(host("users.test"));
    until(&mut users, &PLACES).await;
    users.answers.mark_unchanged();
    dns.kill().await;
    assert!(
        outcome(system(&[dns.address()]), host("users.test."))
            .await
            .is_err()
    );
    dns.set_hosts("10.0.0.3 users.test\n").await;
    dns.restart().await;
    // The very next thing that is heard.
    within("another answer", users.answers.changed())
        .await
        .unwrap();
    until(&mut users, &["10.0.0.3:80"]).await;
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_from_a_server_that_fails() {
    let dns = Dns::start("10.0.0.1 users.test\n").await;
    let servers = [dns.address()];
    let absent = Err("absent".to_owned());
    assert_eq!(
        outcome(system(&servers), host("nobody.test.")).await,
        absent
    );
    // The server knows nothing outside of "test", and says so.
    let refused = outcome(system(&servers), host("users.example.")).await;
    assert!(refused.unwrap_err().contains("error response"));
    dns.hang().await;
    let silent = outcome(system(&servers), host("users.test.")).await;
    assert!(silent.unwrap_err().contains("timed out"));
    dns.go_on().await;
}

#[tokio::test]
async fn a_name_that_comes_up_is_found() {
    let dns = Dns::start("").await;
    let names = run(&[dns.address()]);
    let mut users = names.watch(host("users.test."));
    until(&mut users, &[]).await;
    dns.set_hosts("10.0.0.1 users.test\n").await;
    users.refresh().ask();
    until(&mut users, &["10.0.0.1:80"]).await;
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_silent() {
    let silent = Dns::start("").await;
    silent.hang().await;
    let dns = Dns::start(USERS).await;
    let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    let servers = [silent.address(), nobody, dns.address()];
    let found = outcome(system(&servers), host("users.test.")).await;
    assert_eq!(found, Ok(PLACES.map(str::to_owned).to_vec()));
    silent.go_on().await;
}

#[tokio::test]
async fn answers_that_do_not_fit_a_datagram_are_whole() {
    let hosts: String = (0..200)
        .map(|last| format!("10.0.0.{last} many.test\n"))
        .collect();
    let dns = Dns::start(&hosts).await;
    let found = outcome(system(&[dns.address()]), host("many.test.")).await;
    assert_eq!(found.map(|found| found.len()), Ok(200));
}

#[tokio::test]
async fn names_have_aliases_and_underscores() {
    let dns = Dns::with_arguments(
        "10.0.0.1 my_users.test\n",
        &["--cname=alias.test,my_users.test"],
    )
    .await;
    for name in ["my_users.test.", "alias.test."] {
        let found = outcome(system(&[dns.address()]), host(name)).await;
        assert_eq!(found, Ok(vec!["10.0.0.1:80".to_owned()]), "{name}");
    }
}

#[tokio::test]
async fn local_names_need_no_server() {
    let nobody: SocketAddr = (Ipv4Addr::LOCALHOST, 1).into();
    for (name, places) in [
        ("localhost", vec!["127.0.0.1:80 or [::1]:80"]),
        ("users.localhost", vec!["127.0.0.1:80 or [::1]:80"]),
        ("10.0.0.7", vec!["10.0.0.7:80"]),
        ("fd00::7", vec!["[fd00::7]:80"]),
    ] {
        let found = outcome(system(&[nobody]), host(name)).await.unwrap();
        assert_eq!(found, places, "{name}");
    }
    // As the machine itself has it: often in one family only.
    let found = outcome(System::new(&settings(&[nobody])), host("localhost"));
    assert_eq!(found.await.unwrap(), ["127.0.0.1:80 or [::1]:80"]);
}
