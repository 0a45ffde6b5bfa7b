//! Dictionaries of structured fields, by RFC 9651 §4.2: the algorithms as they stand there.

/// A value, as far as its type is of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
    Boolean(bool),
    Other,
}

/// The members in order, the last of a name instead of those before it; none if it is no dictionary.
pub(super) fn dictionary(value: &[u8]) -> Option<Vec<(String, Value)>> {
    if !value.is_ascii() {
        return None;
    }
    let mut input = Input(value);
    let mut members: Vec<(String, Value)> = Vec::new();
    input.skip(b" ");
    if input.0.is_empty() {
        return Some(members);
    }
    loop {
        let key = input.key()?;
        let value = if input.take(b'=') {
            input.member()?
        } else {
            input.parameters()?;
            Value::Boolean(true)
        };
        members.retain(|(other, _)| *other != key);
        members.push((key, value));
        input.skip(b" \t");
        if input.0.is_empty() {
            return Some(members);
        }
        if !input.take(b',') {
            return None;
        }
        input.skip(b" \t");
        if input.0.is_empty() {
            return None;
        }
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    fn skip(&mut self, bytes: &[u8]) {
        while self.peek().is_some_and(|byte| bytes.contains(&byte)) {
            self.next();
        }
    }

    fn run(&mut self, fits: impl Fn(u8) -> bool) -> String {
        let mut text = String::new();
        while let Some(byte) = self.peek().filter(|byte| fits(*byte)) {
            text.push(char::from(byte));
            self.next();
        }
        text
    }

    fn key(&mut self) -> Option<String> {
        let first = self.peek()?;
        (first.is_ascii_lowercase() || first == b'*').then_some(())?;
        Some(self.run(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"_-.*".contains(&it)))
    }

    fn member(&mut self) -> Option<Value> {
        if !self.take(b'(') {
            let value = self.bare_item()?;
            self.parameters()?;
            return Some(value);
        }
        loop {
            self.skip(b" ");
            if self.take(b')') {
                self.parameters()?;
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(b" ");
            self.key()?;
            if self.take(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn bare_item(&mut self) -> Option<Value> {
        match self.peek()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Value::Text),
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.run(|it| it.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&it));
                Some(Value::Other)
            }
            b':' => {
                self.next();
                let text = self.run(|it| it.is_ascii_alphanumeric() || b"+/=".contains(&it));
                let padding = text.trim_end_matches('=');
                (self.take(b':') && !padding.contains('=')).then_some(Value::Other)
            }
            b'?' => {
                self.next();
                match self.next()? {
                    b'0' => Some(Value::Boolean(false)),
                    b'1' => Some(Value::Boolean(true)),
                    _ => None,
                }
            }
            b'@' => {
                self.next();
                matches!(self.number()?, Value::Integer(_)).then_some(Value::Other)
            }
            b'%' => {
                self.next();
                self.display_string()
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Value> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.run(|it| it.is_ascii_digit());
        if whole.is_empty() {
            return None;
        }
        if !self.take(b'.') {
            let value: i64 = (whole.len() <= 15).then(|| whole.parse().ok()).flatten()?;
            return Some(Value::Integer(sign * value));
        }
        let fraction = self.run(|it| it.is_ascii_digit());
        ((1..=3).contains(&fraction.len()) && whole.len() <= 12).then_some(Value::Other)
    }

    fn string(&mut self) -> Option<String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(text),
                b'\\' => match self.next()? {
                    byte @ (b'"' | b'\\') => text.push(char::from(byte)),
                    _ => return None,
                },
                byte @ b' '..=b'~' => text.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    fn display_string(&mut self) -> Option<Value> {
        self.take(b'"').then_some(())?;
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(bytes).ok().map(|_| Value::Other),
                b'%' => {
                    let mut byte = 0;
                    for _ in 0..2 {
                        let digit = self.next()?;
                        if !matches!(digit, b'0'..=b'9' | b'a'..=b'f') {
                            return None;
                        }
                        byte = byte * 16 + u8::try_from(char::from(digit).to_digit(16)?).ok()?;
                    }
                    bytes.push(byte);
                }
                byte @ b' '..=b'~' => bytes.push(byte),
                _ => return None,
            }
        }
    }
}
