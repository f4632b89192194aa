//! What the keys of an object become under other names: the members of another object, as text.
//!
//! Rules say of each key whether its value passes as it is (`Plain`), is taken by a function of the caller
//! (`Made`), or is an object with rules of its own. Text that the rules do not expect in every detail is
//! left to the caller, who has a slower way.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::json::{Doubt, Escapes, Scanner, Sure, value_of};
use crate::listed::Listed;
use crate::values::{Found, Kind, merge, token};

/// The keys of one object are marked in the bits of one word.
const MOST_KEYS: usize = 64;
/// What `kept` remembers is short.
const LONGEST_WORD: usize = 100;

/// A value that passes as it is, behind `prefix`; a number only if it `fits`.
struct Plain {
    prefix: Vec<u8>,
    kind: Kind,
    fits: Option<Py<PyAny>>,
}

/// A value that a function takes, as it is written.
enum Made {
    /// Gives members or None; `kept` is the same function with a memory, for what is short.
    Pure { make: Py<PyAny>, kept: Option<Py<PyAny>> },
    /// A list of objects becomes one, behind the prefix; where keys repeat, the function is asked.
    Merged { prefix: Vec<u8>, make: Py<PyAny> },
    /// Gives members, and those that have to stand at the end. What is `listed` is read here, if it is simple.
    Spilling { spill: Py<PyAny>, listed: Option<Listed> },
}

enum Node {
    Plain(usize),
    Made(usize),
    Nested(Keys),
}

type Keys = Vec<(Vec<u8>, Node)>;

/// A plain rule as Python gives it: prefix, kind, and what says whether a number fits.
type GivenPlain = (Vec<u8>, String, Option<Py<PyAny>>);
/// A rule of what is made: way, prefix, function, and what helps with it.
type GivenMade = (Vec<String>, Vec<u8>, Py<PyAny>, Option<Py<PyAny>>);

/// Makes members of objects, by rules; `words` are the values that the caller wants to see.
#[pyclass(frozen, module = "bridge_native")]
pub struct Form {
    keys: Keys,
    open: bool,
    plain: Vec<Plain>,
    made: Vec<Made>,
    words: Vec<usize>,
    load: Py<PyAny>,
    told: bool,
}

#[pymethods]
impl Form {
    /// `keys` is a dict: of each key the place of its rule (those of `made` count on behind those of `plain`), or
    /// a dict for an object. `plain`: (prefix, kind, fits or None); `made`: (way, prefix, function, what helps
    /// with it): `pure` and the same function with a memory, `merged`, `spilling`, `columns` and what makes
    /// a key's prefix, `pairs` of a label's and a value's key and the same. `words` are places; `load` decodes a
    /// text; an `open` form passes unknown keys by; one that is not `told` gives words only.
    #[new]
    #[pyo3(signature = (*, keys, plain, made, words, load, open, told))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        keys: &Bound<'_, PyAny>,
        plain: Vec<GivenPlain>,
        made: Vec<GivenMade>,
        words: Vec<usize>,
        load: Py<PyAny>,
        open: bool,
        told: bool,
    ) -> PyResult<Self> {
        let plain = plain.into_iter().map(Plain::of).collect::<PyResult<Vec<_>>>()?;
        let made = made.into_iter().map(Made::of).collect::<PyResult<Vec<_>>>()?;
        let keys = nodes(keys, plain.len(), plain.len() + made.len())?;
        if words.iter().any(|&place| place >= plain.len() + made.len()) {
            return Err(PyValueError::new_err("a word is at no place"));
        }
        Ok(Form { keys, open, plain, made, words, load, told })
    }
}

impl Form {
    /// Write the members of one object to `out`, and give its words; None if it is not as expected.
    pub fn one<'py>(
        &self,
        py: Python<'py>,
        text: &[u8],
        found: &mut Vec<Option<Found>>,
        out: &mut Vec<u8>,
    ) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
        found.clear();
        found.resize(self.plain.len() + self.made.len(), None);
        out.clear();
        let mut scanner = Scanner::new(text);
        let read = self.object(&mut scanner, &self.keys, found).and_then(|()| scanner.finish());
        // No destination takes a zero; what to write instead is the caller's business.
        if read.is_err() || scanner.zero {
            return Ok(None);
        }
        if self.told && !(self.write_plain(py, text, found, out)? && self.write_made(py, text, found, out)?) {
            return Ok(None);
        }
        let mut words = Vec::with_capacity(self.words.len());
        for &place in &self.words {
            match self.word(py, text, found[place])? {
                Some(word) => words.push(word),
                None => return Ok(None),
            }
        }
        Ok(Some(words))
    }

    fn object(&self, scanner: &mut Scanner, keys: &Keys, found: &mut [Option<Found>]) -> Sure<()> {
        let (mut seen, mut next) = (0_u64, 0);
        scanner.object(|scanner, key| {
            let Some(place) = place(keys, key, next) else {
                return if self.open { scanner.value().map(|_| ()) } else { Err(Doubt) };
            };
            if seen & (1 << place) != 0 {
                return Err(Doubt);
            }
            seen |= 1 << place;
            next = place + 1;
            match &keys[place].1 {
                Node::Plain(index) => found[*index] = self.plain[*index].kind.find(scanner)?,
                Node::Made(index) => found[*index] = Some(token(scanner)?),
                Node::Nested(inner) => self.object(scanner, inner, found)?,
            }
            Ok(())
        })
    }

    fn write_plain(&self, py: Python<'_>, text: &[u8], found: &[Option<Found>], out: &mut Vec<u8>) -> PyResult<bool> {
        for (plain, found) in self.plain.iter().zip(found) {
            let Some(found) = found else { continue };
            let token = found.span.of(text);
            if plain.kind == Kind::Number {
                if !plain.fits(py, token)? {
                    continue;
                }
                out.extend_from_slice(&plain.prefix);
                out.extend_from_slice(token);
                if !token.contains(&b'.') {
                    out.extend_from_slice(b".0");
                }
            } else if token.len() > 2 {
                // Anything shorter is an empty text, list or object.
                out.extend_from_slice(&plain.prefix);
                out.extend_from_slice(token);
            }
        }
        Ok(true)
    }

    fn write_made(&self, py: Python<'_>, text: &[u8], found: &[Option<Found>], out: &mut Vec<u8>) -> PyResult<bool> {
        let mut rest: Option<Vec<u8>> = None;
        for (made, found) in self.made.iter().zip(&found[self.plain.len()..]) {
            let Some(found) = found else { continue };
            let token = found.span.of(text);
            if token[0] == b'n' || token == b"\"\"" {
                continue;
            }
            match made {
                Made::Pure { make, kept } => {
                    let make = kept.as_ref().filter(|_| token.len() <= LONGEST_WORD).unwrap_or(make);
                    if !call(py, make, token, out)? {
                        return Ok(false);
                    }
                }
                Made::Merged { prefix, make } => {
                    let before = out.len();
                    if merge(token, prefix, out).is_err() {
                        out.truncate(before);
                        if !call(py, make, token, out)? {
                            return Ok(false);
                        }
                    }
                }
                Made::Spilling { spill, listed } => {
                    // Two that spill have to know each other's names.
                    if rest.is_some() {
                        return Ok(false);
                    }
                    let before = out.len();
                    if match listed {
                        Some(listed) => listed.write(py, token, out)?,
                        None => false,
                    } {
                        rest = Some(Vec::new());
                        continue;
                    }
                    out.truncate(before);
                    let spilled = spill.bind(py).call1((PyBytes::new(py, token),))?;
                    let (members, behind): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = spilled.extract()?;
                    out.extend_from_slice(members.as_bytes());
                    rest = Some(behind.as_bytes().to_vec());
                }
            }
        }
        out.extend_from_slice(&rest.unwrap_or_default());
        Ok(true)
    }

    fn word<'py>(&self, py: Python<'py>, text: &[u8], found: Option<Found>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let token = found.map_or(&b""[..], |found| found.span.of(text));
        match token.first() {
            None | Some(b'n') => Ok(Some(PyString::intern(py, "").into_any())),
            Some(b'"') if found.is_some_and(|found| found.escapes == Escapes::None) => {
                Ok(Some(PyString::from_bytes(py, &token[1..token.len() - 1])?.into_any()))
            }
            Some(b'"') => self.load.bind(py).call1((PyBytes::new(py, token),)).map(Some),
            Some(_) => Ok(None),
        }
    }
}

/// Write the members that a function makes of a value; false if it takes it not.
fn call(py: Python<'_>, make: &Py<PyAny>, token: &[u8], out: &mut Vec<u8>) -> PyResult<bool> {
    let members = make.bind(py).call1((PyBytes::new(py, token),))?;
    if members.is_none() {
        return Ok(false);
    }
    out.extend_from_slice(members.cast::<PyBytes>()?.as_bytes());
    Ok(true)
}

impl Plain {
    fn of((prefix, kind, fits): GivenPlain) -> PyResult<Plain> {
        let kind = match kind.as_str() {
            "TEXT" => Kind::Text,
            "NUMBER" => Kind::Number,
            "LIST" => Kind::List,
            "TEXTS" => Kind::Texts,
            "OBJECT" => Kind::Object,
            _ => return Err(PyValueError::new_err(format!("no kind of plain value: {kind}"))),
        };
        Ok(Plain { prefix, kind, fits })
    }

    /// Whether a number means something.
    fn fits(&self, py: Python<'_>, token: &[u8]) -> PyResult<bool> {
        self.fits.as_ref().map_or(Ok(true), |fits| fits.call1(py, (value_of(token),))?.is_truthy(py))
    }
}

impl Made {
    fn of((way, prefix, make, helper): GivenMade) -> PyResult<Made> {
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        let listed = match (way.as_slice(), helper) {
            (["pure"], kept) => return Ok(Made::Pure { make, kept }),
            (["merged"], _) => return Ok(Made::Merged { prefix, make }),
            (["spilling"], _) => None,
            (["columns"], Some(prefix)) => Some(Listed::columns(prefix)),
            (["pairs", label, value], Some(prefix)) => Some(Listed::pairs(label, value, prefix)),
            _ => return Err(PyValueError::new_err(format!("no way of making: {way:?}"))),
        };
        Ok(Made::Spilling { spill: make, listed })
    }
}

fn nodes(keys: &Bound<'_, PyAny>, plain: usize, all: usize) -> PyResult<Keys> {
    let mut found = Keys::new();
    for item in keys.call_method0("items")?.try_iter()? {
        let (key, node): (String, Bound<'_, PyAny>) = item?.extract()?;
        let node = match node.extract::<usize>() {
            Ok(place) if place < plain => Node::Plain(place),
            Ok(place) if place < all => Node::Made(place),
            Ok(_) => return Err(PyValueError::new_err(format!("{key} is at no place"))),
            Err(_) => Node::Nested(nodes(&node, plain, all)?),
        };
        found.push((key.into_bytes(), node));
    }
    if found.len() > MOST_KEYS {
        return Err(PyValueError::new_err(format!("an object has at most {MOST_KEYS} keys, not {}", found.len())));
    }
    Ok(found)
}

/// Where a key stands; writers mostly keep to one order, so the search begins at `next`.
fn place(keys: &Keys, key: &[u8], next: usize) -> Option<usize> {
    let (before, behind) = keys.split_at(next.min(keys.len()));
    let is_it = |(name, _): &(Vec<u8>, Node)| name == key;
    behind.iter().position(is_it).map(|place| next + place).or_else(|| before.iter().position(is_it))
}
