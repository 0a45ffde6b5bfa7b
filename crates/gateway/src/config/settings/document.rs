//! Texts about settings that are made from their table.

use std::fmt::Write;

use super::table::{SETTINGS, Setting};

/// The text of `.env.example`.
#[must_use]
pub fn env_example() -> String {
    let mut text = String::from(
        "# Settings of api-gateway, each with its default. Copy this file to .env and change what you need.\n\
         # A command-line flag goes before the environment, the environment before .env.\n\
         # Times are seconds, or carry a unit: 500ms, 30s, 5m, 1h.\n",
    );
    for (group, settings) in groups() {
        let _ = write!(text, "\n# {group}\n");
        for Setting {
            variable,
            default,
            help,
            ..
        } in settings
        {
            let _ = write!(text, "\n# {help}.\n#{variable}={default}\n");
        }
    }
    text
}

/// The table in `docs/settings.md`.
#[must_use]
pub fn reference() -> String {
    let mut text = String::new();
    for (group, settings) in groups() {
        let _ = write!(
            text,
            "## {group}\n\n| variable | flag | default | meaning |\n|---|---|---|---|\n"
        );
        for setting in settings {
            let default = if setting.default.is_empty() {
                "–".to_owned()
            } else {
                format!("`{}`", setting.default)
            };
            let _ = writeln!(
                text,
                "| `{}` | `--{}` | {default} | {} |",
                setting.variable,
                setting.flag(),
                setting.help.replace('|', "\\|")
            );
        }
        text.push('\n');
    }
    text
}

/// The settings under their headings.
fn groups() -> impl Iterator<Item = (&'static str, &'static [Setting])> {
    SETTINGS
        .chunk_by(|one, next| one.group == next.group)
        .map(|settings| (settings[0].group, settings))
}
