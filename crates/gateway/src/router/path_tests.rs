use proptest::prelude::*;

use super::*;

fn normal(path: &str) -> String {
    normalise(path)
        .unwrap_or_else(|error| panic!("{path:?}: {error}"))
        .into_owned()
}

#[test]
fn plain_paths_are_borrowed_as_they_are() {
    for path in [
        "/",
        "/a",
        "/a/b/",
        "/a.b/c..d/e~f",
        "/a;b=c/d",
        "/:x/@y/!$&'()*+,=",
        "/a/b..",
        "/a/",
    ] {
        assert!(
            matches!(normalise(path), Ok(Cow::Borrowed(same)) if same == path),
            "{path}"
        );
    }
}

#[test]
fn spellings_of_one_path_become_one() {
    for spelling in [
        "/a/b",
        "//a//b",
        "/./a/./b",
        "/a/c/../b",
        "/%61/b",
        "/a/%2E/b",
        "/a/c/%2e%2E/b",
        "/x/../a/b",
    ] {
        assert_eq!(normal(spelling), "/a/b", "{spelling}");
    }
}

#[test]
fn dot_segments_at_the_end_leave_a_slash() {
    assert_eq!(normal("/a/."), "/a/");
    assert_eq!(normal("/a/b/.."), "/a/");
    assert_eq!(normal("/a/.."), "/");
    assert_eq!(normal("/."), "/");
    assert_eq!(normal("/a//"), "/a/");
}

#[test]
fn escapes_are_kept_in_upper_case_and_decoded_once() {
    assert_eq!(normal("/caf%c3%a9"), "/caf%C3%A9");
    assert_eq!(normal("/café"), "/caf%C3%A9");
    assert_eq!(normal("/a%20b%3fc%23d"), "/a%20b%3Fc%23d");
    assert_eq!(normal("/%252e%252e/a"), "/%252e%252e/a");
    assert_eq!(normal("/a\"<>^`{|}"), "/a%22%3C%3E%5E%60%7B%7C%7D");
}

#[test]
fn characters_that_need_no_escape_are_called_the_same_with_one() {
    for (segment, expected) in [
        ("plain", "plain"),
        ("%40me", "@me"),
        ("a%2Bb%3D%2C%21", "a+b=,!"),
        ("a;b=c", "a"),
        ("a%3Bb", "a"),
        ("%20%C3%A9%25", "%20%C3%A9%25"),
        (";", ""),
    ] {
        assert_eq!(name(segment), expected);
    }
}

#[test]
fn hidden_files_and_names_with_dots_are_ordinary() {
    for path in ["/.well-known/acme", "/...", "/.a", "/..a/b", "/a/.../b"] {
        assert_eq!(normal(path), path);
    }
}

#[test]
fn what_has_no_single_meaning_is_refused() {
    for (path, error) in [
        ("", PathError::NotAbsolute),
        ("a", PathError::NotAbsolute),
        ("*", PathError::NotAbsolute),
        ("/%", PathError::BadEscape),
        ("/%2", PathError::BadEscape),
        ("/%zz", PathError::BadEscape),
        ("/%+1", PathError::BadEscape),
        ("/%u002e", PathError::BadEscape),
        ("/%00", PathError::ControlCharacter),
        ("/%0a", PathError::ControlCharacter),
        ("/%7f", PathError::ControlCharacter),
        ("/\u{1}", PathError::ControlCharacter),
        ("/a\\b", PathError::HiddenSlash),
        ("/a%5cb", PathError::HiddenSlash),
        ("/a%2Fb", PathError::HiddenSlash),
        ("/..%2fadmin", PathError::HiddenSlash),
        ("/a#b", PathError::Delimiter),
        ("/..", PathError::AboveRoot),
        ("/a/../../b", PathError::AboveRoot),
        ("/%2e%2e", PathError::AboveRoot),
        ("/a/..;/b", PathError::NamelessParameters),
        ("/a/..;x=y/b", PathError::NamelessParameters),
        ("/a/..%3b/b", PathError::NamelessParameters),
        ("/a/%2e%2e;/b", PathError::NamelessParameters),
        ("/;x/admin", PathError::NamelessParameters),
        ("/a/%3Bx", PathError::NamelessParameters),
        ("/a/.;/b", PathError::NamelessParameters),
    ] {
        assert_eq!(normalise(path), Err(error), "{path}");
    }
}

/// A backend as lenient as they come: decodes everything once, takes `\` for `/`, cuts parameters off, resolves dots,
/// merges slashes.
fn lenient(path: &str) -> Vec<Vec<u8>> {
    let mut segments: Vec<Vec<u8>> = Vec::new();
    for segment in decoded(path).split(|byte| b"/\\".contains(byte)) {
        match segment
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default()
        {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            name => segments.push(name.to_vec()),
        }
    }
    segments
}

/// Percent-decoding, once.
fn decoded(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .first_chunk::<2>()
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match (
            byte,
            digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()),
        ) {
            (b'%', Some(value)) => {
                decoded.push(value);
                rest = &after[2..];
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

/// Pieces that hostile paths are made of.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("admin".to_owned()),
        Just("public".to_owned()),
        Just("%61dmin".to_owned()),
        Just("ADMIN".to_owned()),
        Just(".".to_owned()),
        Just("..".to_owned()),
        Just("%2e".to_owned()),
        Just("%2E%2e".to_owned()),
        Just(".%2e".to_owned()),
        Just("..;".to_owned()),
        Just(";x".to_owned()),
        Just("..%3b".to_owned()),
        Just("%2f".to_owned()),
        Just("%5C".to_owned()),
        Just("\\".to_owned()),
        Just("%252e".to_owned()),
        Just("%25".to_owned()),
        Just("%40".to_owned()),
        Just("%00".to_owned()),
        Just(String::new()),
        "[ -~é]{0,4}",
    ]
}

fn hostile() -> impl Strategy<Value = String> {
    prop::collection::vec((piece(), prop_oneof![4 => Just("/"), 1 => Just("")]), 0..8).prop_map(
        |pieces| {
            pieces
                .into_iter()
                .fold("/".to_owned(), |path, (piece, end)| path + &piece + end)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn normalising_twice_changes_nothing(path in hostile()) {
        if let Ok(once) = normalise(&path) {
            prop_assert_eq!(normalise(&once), Ok(Cow::Borrowed(&*once)));
        }
    }

    #[test]
    fn the_result_holds_nothing_that_could_be_taken_otherwise(path in hostile()) {
        if let Ok(normal) = normalise(&path) {
            prop_assert!(normal.starts_with('/'));
            let foreign = b"\\#?\"<>^`{|}";
            prop_assert!(normal.bytes().all(|byte| byte.is_ascii_graphic() && !foreign.contains(&byte)));
            prop_assert!(!normal.contains("//") && !normal.contains("%2F") && !normal.contains("%5C"));
            prop_assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."));
        }
    }

    /// What the router sees of a path is what a lenient backend sees of it.
    #[test]
    fn a_path_means_the_same_to_router_and_backend(path in hostile()) {
        if let Ok(normal) = normalise(&path) {
            let seen: Vec<Vec<u8>> = normal.split('/').map(name).filter(|name| !name.is_empty()).map(|name| decoded(&name)).collect();
            prop_assert_eq!(lenient(&normal), seen, "{} is {}", path, normal);
        }
    }

    #[test]
    fn detours_lead_to_the_same_path(
        segments in prop::collection::vec("[a-z0-9_~-]{1,6}", 1..5),
        detours in prop::collection::vec(0..5_u8, 5),
        encoded in prop::collection::vec(any::<bool>(), 30),
    ) {
        let plain = format!("/{}", segments.join("/"));
        let mut encode = encoded.into_iter().cycle();
        let mut spelled = String::new();
        for (segment, detour) in segments.iter().zip(detours) {
            spelled += ["/", "//", "/./", "/x/../", "/%2e/y/%2E%2e/"][usize::from(detour)];
            for letter in segment.bytes() {
                if encode.next() == Some(true) {
                    spelled += &format!("%{letter:02x}");
                } else {
                    spelled.push(char::from(letter));
                }
            }
        }
        prop_assert_eq!(normal(&spelled), plain);
    }
}
