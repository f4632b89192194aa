//! Values that become properties: which may be copied as they are written, and lists of objects that become one.

use crate::json::{Doubt, Escapes, Number, Scanner, Span, Sure};

/// Digits, fraction included, of a number that is written back as it was read.
const EXACT_DIGITS: usize = 15;
/// Keys of an object that is copied, which are compared with each other.
const MOST_MEMBERS: usize = 24;
/// Arrays and objects in a value that is merged; `bridge_posthog.tokens.MAX_NESTING`.
const MOST_NESTED: usize = 100;

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Number,
    List,
    Texts,
    Object,
}

/// A value found: where it stands, quotes included.
#[derive(Clone, Copy)]
pub struct Found {
    pub span: Span,
    pub escapes: Escapes,
}

/// Write the members of the objects of a list, or of one object, as those of one, if no key repeats.
pub fn merge(token: &[u8], prefix: &[u8], out: &mut Vec<u8>) -> Sure<()> {
    if token.iter().filter(|&&byte| byte == b'{' || byte == b'[').count() > MOST_NESTED {
        return Err(Doubt);
    }
    let mut scanner = Scanner::new(token);
    let mut keys: Vec<&[u8]> = Vec::new();
    out.extend_from_slice(prefix);
    let start = out.len();
    if scanner.peek() == b'[' {
        scanner.array(|scanner| merge_one(scanner, &mut keys, out))?;
    } else {
        merge_one(&mut scanner, &mut keys, out)?;
    }
    scanner.finish()?;
    if keys.is_empty() {
        out.truncate(start - prefix.len());
    } else {
        out[start] = b'{';
        out.push(b'}');
    }
    Ok(())
}

/// Write the members of an object, each behind a comma.
fn merge_one<'a>(scanner: &mut Scanner<'a>, keys: &mut Vec<&'a [u8]>, out: &mut Vec<u8>) -> Sure<()> {
    scanner.object(|scanner, key| {
        if keys.len() == MOST_MEMBERS || keys.contains(&key) {
            return Err(Doubt);
        }
        keys.push(key);
        let value = scanner.value()?;
        out.extend_from_slice(b",\"");
        out.extend_from_slice(key);
        out.extend_from_slice(b"\":");
        out.extend_from_slice(scanner.of(value));
        Ok(())
    })
}

/// Any value; of a text also how it is written.
pub fn token(scanner: &mut Scanner) -> Sure<Found> {
    if scanner.peek() == b'"' {
        return text(scanner);
    }
    Ok(Found { span: scanner.value()?, escapes: Escapes::None })
}

fn text(scanner: &mut Scanner) -> Sure<Found> {
    let text = scanner.string()?;
    Ok(Found { span: Span { start: text.span.start - 1, end: text.span.end + 1 }, escapes: text.escapes })
}

impl Kind {
    /// A value of this kind that is written as it would be written anew; None for null.
    pub fn find(self, scanner: &mut Scanner) -> Sure<Option<Found>> {
        if scanner.peek() == b'n' {
            return scanner.null().map(|()| None);
        }
        let start = scanner.at;
        match self {
            Kind::Text => {
                let found = text(scanner)?;
                return if found.escapes == Escapes::Odd { Err(Doubt) } else { Ok(Some(found)) };
            }
            Kind::Number => {
                let number = scanner.number()?;
                if !is_usual(number, scanner.of(number.span)) {
                    return Err(Doubt);
                }
            }
            Kind::List => items(scanner, |scanner| scanner.value().map(|_| ()))?,
            Kind::Texts => {
                items(scanner, |scanner| if text(scanner)?.escapes == Escapes::Odd { Err(Doubt) } else { Ok(()) })?
            }
            Kind::Object => members(scanner)?,
        }
        Ok(Some(Found { span: Span { start, end: scanner.at }, escapes: Escapes::None }))
    }
}

/// A number is written as a double of its value is.
fn is_usual(number: Number, token: &[u8]) -> bool {
    let digits = token.strip_prefix(b"-").unwrap_or(token);
    if number.whole {
        return digits.len() <= EXACT_DIGITS && token != b"-0"; // which some read as 0.0
    }
    let Some(point) = digits.iter().position(|&byte| byte == b'.') else {
        return false; // an exponent
    };
    let (whole, fraction) = (&digits[..point], &digits[point + 1..]);
    let short = whole.len() + fraction.len() <= EXACT_DIGITS && fraction.iter().all(u8::is_ascii_digit);
    let ends = fraction == b"0" || !fraction.ends_with(b"0");
    short && ends && !(whole == b"0" && fraction.starts_with(b"00"))
}

/// An array without blanks between its items.
fn items(scanner: &mut Scanner, item: impl Fn(&mut Scanner) -> Sure<()>) -> Sure<()> {
    if scanner.peek() != b'[' {
        return Err(Doubt);
    }
    scanner.open()?;
    scanner.tight()?;
    let mut more = scanner.any(b']');
    while more {
        scanner.tight()?;
        item(scanner)?;
        scanner.tight()?;
        more = scanner.another(b']')?;
    }
    Ok(())
}

/// An object without blanks between its members, of which no two have one key.
fn members(scanner: &mut Scanner) -> Sure<()> {
    if scanner.peek() != b'{' {
        return Err(Doubt);
    }
    scanner.open()?;
    scanner.tight()?;
    let mut keys: Vec<&[u8]> = Vec::new();
    let mut more = scanner.any(b'}');
    while more {
        scanner.tight()?;
        let key = text(scanner)?;
        let name = scanner.of(key.span);
        if keys.len() == MOST_MEMBERS || keys.contains(&name) || key.escapes != Escapes::None {
            return Err(Doubt);
        }
        keys.push(name);
        scanner.tight()?;
        scanner.expect(b':')?;
        scanner.tight()?;
        scanner.value()?;
        scanner.tight()?;
        more = scanner.another(b'}')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tells(kind: Kind, text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes());
        kind.find(&mut scanner).is_ok() && scanner.finish().is_ok()
    }

    #[test]
    fn takes_numbers_that_are_written_as_doubles_are() {
        for text in ["0", "7", "-12", "0.0", "12.5", "0.01", "-1234567.12345678", "999999999999999", "null"] {
            assert!(tells(Kind::Number, text), "{text}");
        }
        for text in ["-0", "1.50", "0.001", "1e3", "1000000000000000", "1234567.123456789", "\"1\"", "[]"] {
            assert!(!tells(Kind::Number, text), "{text}");
        }
    }

    #[test]
    fn takes_containers_without_blanks_and_doubles() {
        for (kind, text) in
            [(Kind::List, "[1,[ 2 ],{}]"), (Kind::Texts, r#"["a","b\n"]"#), (Kind::Object, r#"{"a":[ ],"b":1}"#)]
        {
            assert!(tells(kind, text), "{text}");
        }
        for (kind, text) in [
            (Kind::List, "[1, 2]"),
            (Kind::List, "[ ]"),
            (Kind::Texts, r#"["\/"]"#),
            (Kind::Texts, "[1]"),
            (Kind::Object, r#"{"a" :1}"#),
            (Kind::Object, r#"{"a":1,"a":2}"#),
            (Kind::Object, r#"{"\u0061":1}"#),
        ] {
            assert!(!tells(kind, text), "{text}");
        }
    }

    #[test]
    fn merges_objects_whose_keys_differ() {
        for (text, merged) in [
            (r#"[{"a":1},{"b":[1, 2]}]"#, r#",:{"a":1,"b":[1, 2]}"#),
            (r#"{ "a" : "x" }"#, r#",:{"a":"x"}"#),
            ("[]", ""),
            ("[{},{}]", ""),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(merge(text.as_bytes(), b",:", &mut out), Ok(()));
            assert_eq!(String::from_utf8(out).expect("UTF-8"), format!("before{merged}"));
        }
        for text in [r#"[{"a":1},{"a":2}]"#, "[1]", "7", r#"[{"a":1}"#] {
            assert_eq!(merge(text.as_bytes(), b",:", &mut Vec::new()), Err(Doubt), "{text}");
        }
    }
}
