//! How records are put together, and which of the names that a short one may stand for is taken.

use testkit::Dns;

use super::*;

fn found(addresses: &[&str], ttl: u64) -> Family {
    let addresses = addresses.iter().map(|address| address.parse().unwrap());
    Ok((addresses.collect(), Duration::from_secs(ttl)))
}

fn absent(ttl: u64) -> Family {
    let ttl = Some(Duration::from_secs(ttl));
    Err(Nothing::Absent { ttl })
}

fn failed() -> Family {
    Err(Nothing::Failed(LookupError::TimedOut))
}

/// The addresses and the time to live, or in one word why there are none.
fn merged(v4: Family, v6: Family, remembered: &[&str]) -> Result<(String, u64), &'static str> {
    let remembered: Vec<IpAddr> = remembered
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    match merge(v4, v6, &remembered) {
        Ok((addresses, ttl)) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            Ok((addresses.join(" "), ttl.as_secs()))
        }
        Err(Nothing::Absent { .. }) => Err("absent"),
        Err(Nothing::Failed(_)) => Err("failed"),
    }
}

fn addresses(text: &str, ttl: u64) -> Result<(String, u64), &'static str> {
    Ok((text.to_owned(), ttl))
}

#[test]
fn both_families_hold_as_long_as_the_shorter_one() {
    let (v4, v6) = (found(&["10.0.0.1"], 60), found(&["fd00::1"], 90));
    assert_eq!(merged(v4, v6, &[]), addresses("10.0.0.1 fd00::1", 60));
}

#[test]
fn a_family_that_is_absent_is_no_loss() {
    let only_v4 = merged(found(&["10.0.0.1"], 60), absent(5), &["fd00::1"]);
    assert_eq!(only_v4, addresses("10.0.0.1", 60));
    let only_v6 = merged(absent(5), found(&["fd00::1"], 60), &["10.0.0.1"]);
    assert_eq!(only_v6, addresses("fd00::1", 60));
}

#[test]
fn a_family_that_fails_has_what_it_had_and_is_asked_for_again_soon() {
    let only_v4 = merged(found(&["10.0.0.1"], 60), failed(), &["10.0.0.9", "fd00::1"]);
    assert_eq!(only_v4, addresses("10.0.0.1 fd00::1", 30));
    let only_v6 = merged(failed(), found(&["fd00::1"], 9), &["10.0.0.9", "fd00::2"]);
    assert_eq!(only_v6, addresses("fd00::1 10.0.0.9", 9));
}

#[test]
fn a_name_is_absent_when_both_families_say_so() {
    assert_eq!(merged(absent(1), absent(2), &["10.0.0.1"]), Err("absent"));
    for (v4, v6) in [
        (failed(), absent(1)),
        (absent(1), failed()),
        (failed(), failed()),
    ] {
        assert_eq!(merged(v4, v6, &["10.0.0.1"]), Err("failed"));
    }
}

/// The first address that a name has, with a search list of these domains; or in one word why it has none.
async fn searched(dns: &Dns, domains: &[&str], host: &str) -> Result<String, &'static str> {
    let view = View::for_tests(&[dns.address()], domains);
    match addresses_of_host(&view, host, &Memory::new()).await {
        Ok(found) => Ok(found.addresses[0].to_string()),
        Err(Nothing::Absent { .. }) => Err("absent"),
        Err(Nothing::Failed(_)) => Err("failed"),
    }
}

#[tokio::test]
async fn a_short_name_is_the_first_of_those_it_may_stand_for() {
    let dns = Dns::start("10.0.0.1 users.one.test\n10.0.0.2 users.two.test\n").await;
    let found = |host: &'static str, domains: &'static [&str]| searched(&dns, domains, host);
    assert_eq!(
        found("users", &["one.test", "two.test"]).await,
        Ok("10.0.0.1".into())
    );
    assert_eq!(
        found("users", &["two.test", "one.test"]).await,
        Ok("10.0.0.2".into())
    );
    assert_eq!(
        found("users", &["other.test", "two.test"]).await,
        Ok("10.0.0.2".into())
    );
    // The server refuses to tell about anything outside of "test", such as the name as it stands.
    assert_eq!(
        found("users", &["example", "two.test"]).await,
        Ok("10.0.0.2".into())
    );
    assert_eq!(found("users", &["other.test"]).await, Err("failed"));
    assert_eq!(
        found("users.other.test.", &["one.test"]).await,
        Err("absent")
    );
}

#[tokio::test]
async fn a_silent_server_does_not_lead_to_another_name() {
    let dns = Dns::start("10.0.0.2 users.two.test\n").await;
    let view = View::for_tests(&[dns.address()], &["one.test", "two.test"]);
    dns.hang().await;
    let hung = std::time::Instant::now();
    let nothing = addresses_of_host(&view, "users", &Memory::new()).await;
    assert!(matches!(nothing, Err(Nothing::Failed(_))));
    // One candidate's time.
    assert!(hung.elapsed() < 2 * View::TIMEOUT_FOR_TESTS);
    dns.go_on().await;
}
