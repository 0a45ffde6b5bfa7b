//! An explanation, for people.

use std::fmt;

use serde_json::{Map, Value};

use super::{ConsideredRoute, Explanation};

/// Columns are not wider.
const WIDEST: usize = 40;
/// Routes that are not near are named up to so many.
const MOST_FAR: usize = 5;

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} {} from {}",
            self.method, self.path, self.client
        )?;
        self.fmt_routes(formatter)?;
        self.fmt_steps(formatter)?;
        match &self.refused {
            Some(refused) => {
                let (status, code, step) = (refused.status, refused.code, refused.step);
                writeln!(formatter, "\nAnswer: {status} {code}, by {step}")?;
                if !self.backend_request.is_empty() {
                    writeln!(formatter, "Without that the backend would get:")?;
                }
            }
            None if !self.backend_request.is_empty() => {
                writeln!(formatter, "\nThe backend gets:")?;
            }
            None => {}
        }
        self.backend_request
            .iter()
            .try_for_each(|line| writeln!(formatter, "  {line}"))
    }
}

impl Explanation {
    fn fmt_routes(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\nRoutes")?;
        let longest = |text: fn(&ConsideredRoute) -> &str| {
            let lengths = self.considered.iter().map(|it| text(it).chars().count());
            lengths.max().unwrap_or(0).min(WIDEST)
        };
        let (names, paths) = (longest(|it| &it.name), longest(|it| &it.path));
        let mut far = 0;
        for it in &self.considered {
            if !it.near {
                far += 1;
                if far > MOST_FAR {
                    continue;
                }
            }
            let mark = if it.chosen { '>' } else { ' ' };
            let (name, path, why) = (&it.name, &it.path, &it.why);
            writeln!(formatter, "{mark} {name:names$}  {path:paths$}  {why}")?;
        }
        if far > MOST_FAR {
            writeln!(
                formatter,
                "  and {} more for other hosts or paths",
                far - MOST_FAR
            )?;
        }
        Ok(())
    }

    fn fmt_steps(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return Ok(());
        }
        writeln!(formatter, "\nSteps")?;
        let width = self.steps.iter().map(|it| it.step.len()).max().unwrap_or(0);
        for step in &self.steps {
            let (name, says) = (step.step, &step.says);
            writeln!(formatter, "  {name:width$}  {says}")?;
            fmt_settings(formatter, &step.settings, width + 4)?;
        }
        Ok(())
    }
}

fn fmt_settings(
    formatter: &mut fmt::Formatter<'_>,
    settings: &Map<String, Value>,
    indent: usize,
) -> fmt::Result {
    for (name, value) in settings {
        let space = "";
        match value {
            Value::String(text) => writeln!(formatter, "{space:indent$}{name}: {text}")?,
            Value::Array(items) if items.iter().any(Value::is_object) => {
                writeln!(formatter, "{space:indent$}{name}:")?;
                for item in items {
                    writeln!(formatter, "{space:indent$}  {item}")?;
                }
            }
            other => writeln!(formatter, "{space:indent$}{name}: {other}")?,
        }
    }
    Ok(())
}
