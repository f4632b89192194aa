//! Lists of small objects whose keys, or labels, become members of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::json::{Doubt, Scanner, Sure};

/// Members that one list becomes here.
const MOST_MEMBERS: usize = 24;
/// Keys whose prefixes are remembered, and the length of such a key.
const MOST_KNOWN: usize = 1_024;
const LONGEST_KEY: usize = 100;

/// A label, and the value that it has.
type Labelled<'a> = (&'a [u8], &'a [u8]);

pub struct Listed {
    /// The keys that hold a label and its value, in every object; None if each key is a label.
    pair: Option<(Vec<u8>, Vec<u8>)>,
    /// Makes the prefix of a label.
    prefix: Py<PyAny>,
    known: Mutex<HashMap<Vec<u8>, Arc<[u8]>>>,
}

impl Listed {
    pub fn columns(prefix: Py<PyAny>) -> Self {
        Listed { pair: None, prefix, known: Mutex::default() }
    }

    pub fn pairs(label: &str, value: &str, prefix: Py<PyAny>) -> Self {
        Listed { pair: Some((label.as_bytes().to_vec(), value.as_bytes().to_vec())), prefix, known: Mutex::default() }
    }

    /// Write the members; false if that is not simple: values are objects, or names repeat.
    pub fn write(&self, py: Python<'_>, token: &[u8], out: &mut Vec<u8>) -> PyResult<bool> {
        let found = match &self.pair {
            None => columns(token),
            Some((label, value)) => pairs(token, label, value),
        };
        let Ok(found) = found else {
            return Ok(false);
        };
        let mut members: Vec<(Arc<[u8]>, &[u8])> = Vec::with_capacity(found.len().min(MOST_MEMBERS));
        for (label, value) in found {
            match value {
                [b'n', ..] | b"\"\"" => continue,
                [b'{', ..] => return Ok(false),
                [b'[', inside @ .., b']'] if inside.trim_ascii().is_empty() => continue,
                _ => (),
            }
            let prefix = self.prefix(py, label)?;
            if members.len() == MOST_MEMBERS || members.iter().any(|(other, _)| *other == prefix) {
                return Ok(false);
            }
            members.push((prefix, value));
        }
        for (prefix, value) in members {
            out.extend_from_slice(&prefix);
            out.extend_from_slice(value);
        }
        Ok(true)
    }

    fn prefix(&self, py: Python<'_>, label: &[u8]) -> PyResult<Arc<[u8]>> {
        // Not held while Python runs, which may let another thread come here.
        if let Some(prefix) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(label) {
            return Ok(Arc::clone(prefix));
        }
        let made = self.prefix.bind(py).call1((PyString::from_bytes(py, label)?,))?;
        let prefix: Arc<[u8]> = made.cast::<PyBytes>()?.as_bytes().into();
        if label.len() <= LONGEST_KEY {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MOST_KNOWN {
                known.clear();
            }
            known.insert(label.to_vec(), Arc::clone(&prefix));
        }
        Ok(prefix)
    }
}

/// Each item of an array, or the one object that stands for an array of one; how many there are.
fn each<'a>(token: &'a [u8], mut item: impl FnMut(&mut Scanner<'a>) -> Sure<()>) -> Sure<usize> {
    let mut scanner = Scanner::new(token);
    let mut count = 0;
    let mut next = |scanner: &mut Scanner<'a>| {
        count += 1;
        item(scanner)
    };
    if scanner.peek() == b'[' {
        scanner.array(next)?
    } else {
        next(&mut scanner)?
    }
    scanner.finish()?;
    Ok(count)
}

fn columns(token: &[u8]) -> Sure<Vec<Labelled<'_>>> {
    let mut found = Vec::new();
    each(token, |scanner| {
        scanner.object(|scanner, key| {
            let value = scanner.value()?;
            found.push((key, scanner.of(value)));
            Ok(())
        })
    })?;
    Ok(found)
}

/// Labels and values; every object has a label that is not blank, and there is one.
fn pairs<'a>(token: &'a [u8], label: &[u8], value: &[u8]) -> Sure<Vec<Labelled<'a>>> {
    let mut found = Vec::new();
    let count = each(token, |scanner| {
        let (mut labels, mut values) = (Vec::new(), Vec::new());
        scanner.object(|scanner, key| {
            let span = scanner.value()?;
            if key == label {
                labels.push(scanner.of(span));
            } else if key == value {
                values.push(scanner.of(span));
            }
            Ok(())
        })?;
        let (&[name], [] | [_]) = (labels.as_slice(), values.as_slice()) else {
            return Err(Doubt);
        };
        let [b'"', name @ .., b'"'] = name else {
            return Err(Doubt);
        };
        if name.is_empty() || name.contains(&b'\\') {
            return Err(Doubt);
        }
        found.extend(values.first().map(|value| (name, *value)));
        Ok(())
    })?;
    if count == 0 { Err(Doubt) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(found: Sure<Vec<Labelled>>) -> Option<String> {
        let of = |text: &[u8]| String::from_utf8(text.to_vec()).expect("UTF-8");
        found.ok().map(|found| found.into_iter().map(|(key, value)| of(key) + "=" + &of(value) + ";").collect())
    }

    #[test]
    fn reads_columns() {
        for (token, columns_told) in [
            (r#"[{"a":1},{ "b" : [2] , "a":"x"}]"#, Some("a=1;b=[2];a=\"x\";")),
            (r#"{"a":1}"#, Some("a=1;")),
            ("[]", Some("")),
            ("[1]", None),
            (r#"[{"\u0061":1}]"#, None),
            (r#"[{"a":1}"#, None),
        ] {
            assert_eq!(told(columns(token.as_bytes())).as_deref(), columns_told, "{token}");
        }
    }

    #[test]
    fn reads_pairs() {
        for (token, pairs_told) in [
            (r#"[{"k":"a","v":1},{"v":[2],"k":"b","w":3},{"k":"c"}]"#, Some("a=1;b=[2];")),
            (r#"{"k":"a","v":null}"#, Some("a=null;")),
            ("[]", None),
            (r#"[{"v":1}]"#, None),
            (r#"[{"k":""}]"#, None),
            (r#"[{"k":7}]"#, None),
            (r#"[{"k":"a","k":"b"}]"#, None),
            (r#"[{"k":"a\n"}]"#, None),
        ] {
            assert_eq!(told(pairs(token.as_bytes(), b"k", b"v")).as_deref(), pairs_told, "{token}");
        }
    }
}
