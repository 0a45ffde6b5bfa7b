//! The target of a forwarded request: the backend's base path, the request's path, its query.

/// Appends the target. `base_path` and `strip_prefix` have no slash at their end; `path` is normalised, and starts with
/// `strip_prefix` at the end of a segment, or else nothing is stripped. The query goes through byte for byte.
pub(super) fn join(
    base_path: &str,
    strip_prefix: &str,
    path: &str,
    query: Option<&str>,
    out: &mut Vec<u8>,
) {
    let rest = match path.strip_prefix(strip_prefix) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    if base_path.is_empty() && rest.is_empty() {
        out.push(b'/');
    }
    out.extend_from_slice(base_path.as_bytes());
    out.extend_from_slice(rest.as_bytes());
    if let Some(query) = query {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(base_path: &str, strip_prefix: &str, path: &str, query: Option<&str>) -> String {
        let mut out = Vec::new();
        join(base_path, strip_prefix, path, query, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn slashes_at_the_seams_are_neither_doubled_nor_lost() {
        for (base_path, strip_prefix, path, query, expected) in [
            ("", "", "/", None, "/"),
            ("", "", "/a/b", None, "/a/b"),
            ("", "/api/users", "/api/users", None, "/"),
            ("", "/api/users", "/api/users/", None, "/"),
            ("", "/api/users", "/api/users/1", None, "/1"),
            ("/base", "/api/users", "/api/users", None, "/base"),
            ("/base", "/api/users", "/api/users/", Some(""), "/base/?"),
            ("/base", "", "/x", Some("a=1?b"), "/base/x?a=1?b"),
            ("/base", "", "/", None, "/base/"),
        ] {
            assert_eq!(joined(base_path, strip_prefix, path, query), expected);
        }
    }

    #[test]
    fn only_whole_segments_are_stripped() {
        assert_eq!(joined("", "/api", "/apiary/x", None), "/apiary/x");
        assert_eq!(joined("", "/other", "/api/x", None), "/api/x");
    }

    proptest! {
        #[test]
        fn the_result_is_the_sum_of_its_parts(
            base in prop::collection::vec("[a-z]{1,4}", 0..3),
            stripped in prop::collection::vec("[a-z]{1,4}", 0..3),
            rest in prop::collection::vec("[a-z]{1,4}", 0..4),
            slash in any::<bool>(),
            query in prop::option::of("[!-~]{0,12}"),
        ) {
            let of = |segments: &[String]| segments.iter().map(|segment| format!("/{segment}")).collect::<String>();
            let (base_path, strip_prefix) = (of(&base), of(&stripped));
            let tail = of(&rest) + if slash { "/" } else { "" };
            let path = match strip_prefix.clone() + &tail {
                path if path.is_empty() => "/".to_owned(),
                path => path,
            };
            let result = joined(&base_path, &strip_prefix, &path, query.as_deref());
            let (target, result_query) = result.split_once('?').map_or((&*result, None), |(target, query)| (target, Some(query)));
            prop_assert_eq!(result_query, query.as_deref());
            prop_assert!(target.starts_with('/') && !target.contains("//"));
            let segments: Vec<&str> = target.split('/').filter(|segment| !segment.is_empty()).collect();
            let expected: Vec<&str> = base.iter().chain(&rest).map(String::as_str).collect();
            prop_assert_eq!(segments, expected);
        }
    }
}
