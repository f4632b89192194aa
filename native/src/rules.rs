//! What the schemas say of `edata`, checked while it is scanned.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::json::{Doubt, Escapes, Scanner, Sure, value_of};

/// The keys of a record are marked in the bits of one word.
const MOST_KEYS: usize = 64;

/// A rule of `bridge.schemas`.
pub enum Rule {
    Text { min_length: usize, choices: Vec<Vec<u8>> },
    Number { minimum: Option<f64> },
    Array(Box<Rule>),
    Record(Record),
}

pub struct Record {
    keys: Vec<(Vec<u8>, Rule)>,
    required: u64,
    closed: bool,
}

impl Rule {
    /// Read a rule from its dataclass.
    pub fn of(rule: &Bound<'_, PyAny>) -> PyResult<Rule> {
        let kind = rule.get_type().name()?.to_string();
        match kind.as_str() {
            "Text" => {
                let choices: Vec<String> = rule.getattr("choices")?.extract()?;
                Ok(Rule::Text {
                    min_length: rule.getattr("min_length")?.extract()?,
                    choices: choices.into_iter().map(String::into_bytes).collect(),
                })
            }
            "Number" => Ok(Rule::Number { minimum: rule.getattr("minimum")?.extract()? }),
            "ArrayOf" => Ok(Rule::Array(Box::new(Rule::of(&rule.getattr("item")?)?))),
            "Record" => Ok(Rule::Record(Record::of(rule)?)),
            _ => Err(PyTypeError::new_err(format!("a rule is none of Text, Number, ArrayOf and Record: {kind}"))),
        }
    }

    /// Scan a value that is next and surely follows this rule.
    pub fn check(&self, scanner: &mut Scanner) -> Sure<()> {
        match self {
            Rule::Text { min_length, choices } => check_text(scanner, *min_length, choices),
            Rule::Number { minimum } => {
                let number = scanner.number()?;
                match minimum {
                    Some(least) if value_of(scanner.of(number.span)) < *least => Err(Doubt),
                    _ => Ok(()),
                }
            }
            Rule::Array(item) => scanner.array(|scanner| item.check(scanner)),
            Rule::Record(record) => record.check(scanner),
        }
    }
}

fn check_text(scanner: &mut Scanner, min_length: usize, choices: &[Vec<u8>]) -> Sure<()> {
    let text = scanner.string()?;
    // A character has at most four bytes, an escape at most twelve for one character.
    let bytes = text.span.end - text.span.start;
    if min_length > 0 && (bytes == 0 || (min_length > 1 && bytes < min_length * 12)) {
        return Err(Doubt);
    }
    let chosen = || choices.iter().any(|choice| choice == scanner.of(text.span));
    if choices.is_empty() || (text.escapes == Escapes::None && chosen()) { Ok(()) } else { Err(Doubt) }
}

impl Record {
    fn of(rule: &Bound<'_, PyAny>) -> PyResult<Record> {
        let required: Vec<String> =
            rule.getattr("required")?.try_iter()?.map(|key| key?.extract()).collect::<PyResult<_>>()?;
        let mut keys = Vec::new();
        let mut marks = 0;
        for item in rule.getattr("keys")?.call_method0("items")?.try_iter()? {
            let (key, inner): (String, Bound<'_, PyAny>) = item?.extract()?;
            if required.contains(&key) {
                marks |= 1 << keys.len();
            }
            keys.push((key.into_bytes(), Rule::of(&inner)?));
        }
        if keys.len() > MOST_KEYS {
            return Err(PyTypeError::new_err(format!("a record has at most {MOST_KEYS} keys, not {}", keys.len())));
        }
        Ok(Record { keys, required: marks, closed: rule.getattr("closed")?.extract()? })
    }

    fn check(&self, scanner: &mut Scanner) -> Sure<()> {
        let (mut seen, mut next) = (0_u64, 0);
        scanner.object(|scanner, key| {
            let Some(place) = self.place(key, next) else {
                return if self.closed { Err(Doubt) } else { scanner.value().map(|_| ()) };
            };
            seen |= 1 << place;
            next = place + 1;
            let optional = self.required & (1 << place) == 0;
            if optional && scanner.peek() == b'n' { scanner.null() } else { self.keys[place].1.check(scanner) }
        })?;
        if seen & self.required == self.required { Ok(()) } else { Err(Doubt) }
    }

    /// Where a key stands in the table; writers mostly keep to one order, so the search begins at `next`.
    fn place(&self, key: &[u8], next: usize) -> Option<usize> {
        let (before, behind) = self.keys.split_at(next.min(self.keys.len()));
        let is_it = |(name, _): &(Vec<u8>, Rule)| name == key;
        behind.iter().position(is_it).map(|place| next + place).or_else(|| before.iter().position(is_it))
    }
}
