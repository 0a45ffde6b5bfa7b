//! The `Dockerfile`, and what it says about the rest of the repository.

use super::{complains, passes, root, text, tool};

#[test]
fn the_dockerfile_pleases_its_linter() {
    passes(tool("hadolint").arg("Dockerfile"));
    let bad = std::env::temp_dir().join(format!("api-gateway-dockerfile-{}", std::process::id()));
    std::fs::write(&bad, "FROM debian\nRUN cd /tmp && sudo ls\n").unwrap();
    complains(tool("hadolint").arg(&bad));
    std::fs::remove_file(&bad).unwrap();
}

#[test]
fn the_image_is_built_by_the_toolchain_of_the_repository() {
    let toolchain = text("rust-toolchain.toml");
    let version = toolchain
        .lines()
        .find_map(|line| line.strip_prefix("channel = "))
        .unwrap()
        .trim_matches('"');
    let dockerfile = text("Dockerfile");
    for part in [
        format!("ARG RUST_IMAGE=docker.io/library/rust:{version}-"),
        format!("RUSTUP_TOOLCHAIN={version} "),
    ] {
        assert!(dockerfile.contains(&part), "the Dockerfile lacks {part}");
    }
}

/// Without its manifest Cargo refuses the whole workspace, and only the build of the image would tell.
#[test]
fn every_package_of_the_workspace_is_in_the_build_context() {
    let ignored = text(".dockerignore");
    let dockerfile = text("Dockerfile");
    let manifest = text("Cargo.toml");
    let members = manifest
        .lines()
        .find_map(|line| line.strip_prefix("members = "))
        .unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    for member in members {
        let entry = match member.strip_suffix("/*") {
            Some(folder) => format!("!{folder}\n"),
            None => format!("!{member}/Cargo.toml\n"),
        };
        assert!(ignored.contains(&entry), ".dockerignore lacks {entry}");
        assert!(
            dockerfile.contains(&format!(" {member} "))
                || dockerfile.contains(&format!(" {member};")),
            "the Dockerfile has no stand-in for {member}"
        );
    }
}

#[test]
fn what_the_image_copies_is_there_and_in_the_build_context() {
    let dockerfile = text("Dockerfile");
    let ignored = text(".dockerignore");
    let line = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("COPY configs/"))
        .unwrap();
    let line = format!("configs/{line}");
    for file in line.split(' ').filter(|word| word.ends_with(".json")) {
        assert!(root().join(file).exists(), "{file}");
        assert!(ignored.contains(&format!("!{file}\n")), "{file}");
    }
}
