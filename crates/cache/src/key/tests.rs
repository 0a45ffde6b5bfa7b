use super::*;
use http::HeaderValue;
use proptest::prelude::*;

const TARGET: Target<'static> = Target {
    scheme: "https",
    host: "a.example",
    path: "/x",
    query: Some("id=1"),
};

fn plain(target: &Target<'_>) -> Key {
    KeyRecipe::default().key(target, &HeaderMap::new(), &Extra::default())
}

#[test]
fn scheme_host_path_and_query_tell_keys_apart() {
    let others = [
        Target {
            scheme: "http",
            ..TARGET
        },
        Target {
            host: "b.example",
            ..TARGET
        },
        Target {
            path: "/X",
            ..TARGET
        },
        Target {
            query: Some("id=2"),
            ..TARGET
        },
        Target {
            query: Some(""),
            ..TARGET
        },
        Target {
            query: None,
            ..TARGET
        },
    ];
    let mut keys: Vec<_> = others.iter().map(plain).collect();
    keys.push(plain(&TARGET));
    for (index, key) in keys.iter().enumerate() {
        assert!(!keys[index + 1..].contains(key), "{index}");
    }
    let upper = Target {
        scheme: "HTTPS",
        host: "A.Example",
        ..TARGET
    };
    assert_eq!(plain(&upper), plain(&TARGET));
}

#[test]
fn no_part_can_be_written_by_another() {
    let extra = |parts| Extra {
        parts,
        content: None,
    };
    let recipe = KeyRecipe::default();
    let key = |parts| recipe.key(&TARGET, &HeaderMap::new(), &extra(parts));
    assert_ne!(
        key(&[("sub", b"ab"), ("role", b"c")]),
        key(&[("sub", b"a"), ("role", b"bc")])
    );
    assert_ne!(key(&[("sub", b"")]), key(&[]));
    // A path with a question mark in it, as a decoded one may have.
    let decoded = Target {
        path: "/x?id=1",
        query: None,
        ..TARGET
    };
    assert_ne!(plain(&decoded), plain(&TARGET));
    // What a key with a field looks like, in the query.
    let mut headers = HeaderMap::new();
    headers.insert("x", HeaderValue::from_static("1"));
    let with_field = KeyRecipe {
        headers: vec![HeaderName::from_static("x")],
        ..KeyRecipe::default()
    };
    let forged = Target {
        query: Some("id=1h\u{1}x\u{1}\u{1}1"),
        ..TARGET
    };
    assert_ne!(
        plain(&forged),
        with_field.key(&TARGET, &headers, &Extra::default())
    );
}

#[test]
fn fields_count_line_by_line() {
    let recipe = KeyRecipe {
        headers: vec![HeaderName::from_static("x")],
        ..KeyRecipe::default()
    };
    let key = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x", HeaderValue::from_static(value));
        }
        recipe.key(&TARGET, &headers, &Extra::default())
    };
    let keys = [key(&[]), key(&[""]), key(&["ab"]), key(&["a", "b"])];
    for (index, one) in keys.iter().enumerate() {
        assert!(!keys[index + 1..].contains(one));
    }
}

#[test]
fn content_counts_with_its_type() {
    let recipe = KeyRecipe::default();
    let key = |kind: &'static str, digest: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let extra = Extra {
            content: Some(digest),
            ..Extra::default()
        };
        recipe.key(&TARGET, &headers, &extra)
    };
    assert_ne!(key("text/plain", b"1"), key("text/plain", b"2"));
    assert_ne!(key("text/plain", b"1"), key("text/html", b"1"));
    assert!(key("text/plain", b"1").has_content());
    assert_eq!(
        key("text/plain", b"1").url(),
        recipe.url(&TARGET).as_bytes()
    );
}

#[test]
fn a_key_can_be_used_again() {
    let recipe = KeyRecipe::default();
    let mut key = Key::default();
    let extra = Extra {
        content: Some(b"1"),
        ..Extra::default()
    };
    recipe.write(&TARGET, &HeaderMap::new(), &extra, &mut key);
    recipe.write(&TARGET, &HeaderMap::new(), &Extra::default(), &mut key);
    assert_eq!(key, plain(&TARGET));
}

#[test]
fn a_query_of_which_nothing_counts_is_none() {
    let recipe = KeyRecipe {
        query: QueryParameters::Except(vec!["id".to_owned()]),
        ..KeyRecipe::default()
    };
    let without = Target {
        query: None,
        ..TARGET
    };
    assert_eq!(recipe.url(&TARGET), recipe.url(&without));
}

proptest! {
    #[test]
    fn a_key_can_be_taken_apart(
        scheme in "[a-z]{0,9}", host in "[a-z.]{0,200}", path in ".{0,300}", query in prop::option::of(".{0,300}"),
        part in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
    ) {
        let target = Target { scheme: &scheme, host: &host, path: &path, query: query.as_deref() };
        let list: Vec<(&str, &[u8])> = part.iter().map(|it| ("p", &**it)).collect();
        let key = KeyRecipe::default().key(&target, &HeaderMap::new(), &Extra { parts: &list, content: None });
        let parts = Parts::of(key.as_bytes()).unwrap();
        let expected = query.map_or(path.clone(), |query| format!("{path}?{query}"));
        prop_assert_eq!(parts.path_and_query, expected.as_bytes());
        prop_assert_eq!(parts.url, key.url());
        prop_assert_eq!(parts.has_extra, part.is_some());
        let mut origin = Vec::new();
        push_origin(&mut origin, &scheme, &host);
        prop_assert_eq!(parts.origin, &*origin);
    }

    #[test]
    fn any_bytes_are_taken_apart_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Parts::of(&bytes);
    }
}
