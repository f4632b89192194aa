//! From payloads to events: what `bridge.validation.Decoder` does on its fast path, in one pass.

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};
use xxhash_rust::xxh3::xxh3_128;

use crate::head::{Eid, Head, Level, Plain};
use crate::json::Span;
use crate::rules::Rule;

/// The keywords with which an event is made, in this order.
const FIELDS: [&str; 13] = [
    "eid", "ets", "ver", "mid", "actor", "context", "object", "tags", "edata_held", "syncts", "timestamp", "raw",
    "digest",
];
const EMPTY: &[u8] = b"{}";
const NULL: &[u8] = b"null";

/// Reads one event per payload, at one level.
#[pyclass(frozen, module = "bridge_native")]
pub struct Reader {
    level: Level,
    longest: usize,
    names: Vec<Py<PyString>>,
    versions: [(&'static [u8], Py<PyString>); 2],
    blank: Py<PyString>,
    event: Py<PyType>,
    absent: Py<PyAny>,
    fields: Py<PyTuple>,
    parts: [Py<PyAny>; 3],
    refused: Py<PyAny>,
}

/// A part of the event before: neighbours mostly have the same.
struct Part<'py> {
    recall: &'py Bound<'py, PyAny>,
    text: Vec<u8>,
    value: Option<Bound<'py, PyAny>>,
    /// What of it tells events apart: an actor's `id`, a context's `did`.
    telling: Option<&'static str>,
    told: Vec<u8>,
}

/// A server's time of the event before: what was sent together has the same.
struct Moment<'py> {
    text: Vec<u8>,
    whole: Option<i64>,
    value: Bound<'py, PyAny>,
}

#[pymethods]
impl Reader {
    /// `eids` are the rules of `edata` by type, None if any type and any `edata` goes; `other` is the rule of
    /// types that are not in it, None if there may be none. `parts` recall actor, context and object by
    /// their text, and raise one of `refused`.
    #[new]
    #[pyo3(signature = (*, event, absent, eids, other, official, longest, parts, refused))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        event: Py<PyType>,
        absent: Py<PyAny>,
        eids: Option<Bound<'_, PyDict>>,
        other: Option<Bound<'_, PyAny>>,
        official: bool,
        longest: usize,
        parts: [Py<PyAny>; 3],
        refused: Py<PyAny>,
    ) -> PyResult<Self> {
        let mut known = Vec::new();
        let mut names = Vec::new();
        for (eid, rule) in eids.iter().flatten() {
            let eid: Bound<'_, PyString> = eid.cast_into()?;
            known.push((eid.to_str()?.as_bytes().to_vec(), Rule::of(&rule)?));
            names.push(eid.unbind());
        }
        let other = match (eids, other) {
            (None, _) => Some(None),
            (Some(_), None) => None,
            (Some(_), Some(rule)) => Some(Some(Rule::of(&rule)?)),
        };
        Ok(Reader {
            level: Level { official, eids: known, other },
            longest: longest.min(u32::MAX as usize), // places are written in 32 bits
            names,
            versions: [(b"3.0", PyString::intern(py, "3.0").unbind()), (b"3.1", PyString::intern(py, "3.1").unbind())],
            blank: PyString::intern(py, "").unbind(),
            event,
            absent,
            fields: PyTuple::new(py, FIELDS.map(|name| PyString::intern(py, name)))?.unbind(),
            parts,
            refused,
        })
    }

    /// The events of some payloads, and the indices of those of which nothing is said (None stands for them).
    fn read<'py>(&self, py: Python<'py>, payloads: &Bound<'py, PyList>) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
        let payloads = payloads.to_tuple(); // whatever Python code does to the list
        let [actors, contexts, objects] = self.parts.each_ref().map(|recall| recall.bind(py));
        let mut parts = [Part::new(actors, Some("id")), Part::new(contexts, Some("did")), Part::new(objects, None)];
        let mut moments = [Moment::new(py), Moment::new(py)];
        let mut scratch = Vec::with_capacity(256);
        let mut doubtful = Vec::new();
        let events = PyList::empty(py);
        for (index, payload) in payloads.iter_borrowed().enumerate() {
            if let Some(event) = self.one(py, &payload, &mut parts, &mut moments, &mut scratch)? {
                events.append(event)?;
            } else {
                doubtful.push(index);
                events.append(py.None())?;
            }
        }
        Ok((events, doubtful))
    }
}

impl Reader {
    fn one<'py>(
        &self,
        py: Python<'py>,
        payload: &Bound<'py, PyAny>,
        parts: &mut [Part<'py>; 3],
        moments: &mut [Moment<'py>; 2],
        scratch: &mut Vec<u8>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(payload) = payload.cast_exact::<PyBytes>() else {
            return Ok(None);
        };
        let text = payload.as_bytes();
        if text.len() > self.longest || simdutf8::basic::from_utf8(text).is_err() {
            return Ok(None);
        }
        let Ok(head) = self.level.read(text, parts.each_ref().map(|part| &part.text[..])) else {
            return Ok(None);
        };
        for (part, (span, missing)) in
            parts.iter_mut().zip([(head.actor, EMPTY), (head.context, EMPTY), (head.object, NULL)])
        {
            if !part.find(span.map_or(missing, |span| span.of(text)), self.refused.bind(py))? {
                return Ok(None);
            }
        }
        self.event(py, payload, &head, parts, moments, scratch).map(Some)
    }

    fn event<'py>(
        &self,
        py: Python<'py>,
        payload: &Bound<'py, PyBytes>,
        head: &Head,
        parts: &[Part<'py>; 3],
        moments: &mut [Moment<'py>; 2],
        scratch: &mut Vec<u8>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let text = payload.as_bytes();
        let (eid, name) = match head.eid {
            Eid::Known(place) => (self.names[place].bind(py).clone().into_any(), &self.level.eids[place].0[..]),
            Eid::Other(span) => (string(py, span, text)?, span.of(text)),
        };
        let ver = match head.ver {
            None => self.blank.bind(py).clone().into_any(),
            Some(span) => match self.versions.iter().find(|(known, _)| &known[..] == span.of(text)) {
                Some((_, ver)) => ver.bind(py).clone().into_any(),
                None => string(py, span, text)?,
            },
        };
        let tags = match &head.tags {
            None => py.None().into_bound(py),
            Some(spans) => {
                let tags = spans.iter().map(|&span| string(py, span, text)).collect::<PyResult<Vec<_>>>()?;
                PyList::new(py, tags)?.into_any()
            }
        };
        let edata = match head.edata {
            Some(span) => PyInt::new(py, (span.start as u64) << 32 | span.end as u64).into_any(),
            None => self.absent.bind(py).clone(),
        };
        let [actor, context, object] = parts;
        let [syncts, timestamp] = moments;
        let values = [
            eid,
            PyFloat::new(py, head.ets).into_any(),
            ver,
            string(py, head.mid, text)?,
            actor.found(),
            context.found(),
            object.found(),
            tags,
            edata,
            syncts.of(py, head.syncts, text)?,
            timestamp.of(py, head.timestamp, text)?,
            payload.clone().into_any(),
            digest(py, head.ets, [head.mid.of(text), name, &actor.told, &context.told], scratch).into_any(),
        ];
        self.make(py, &values)
    }

    /// Call the event's class with keywords, without a dictionary of them.
    fn make<'py>(&self, py: Python<'py>, values: &[Bound<'py, PyAny>; FIELDS.len()]) -> PyResult<Bound<'py, PyAny>> {
        let arguments = values.each_ref().map(Bound::as_ptr);
        // SAFETY: `arguments` are borrowed from `values`, which outlive the call, one for each name of `fields`;
        // the result is a new reference or null with an exception set.
        unsafe {
            let made = ffi::PyObject_Vectorcall(self.event.as_ptr(), arguments.as_ptr(), 0, self.fields.as_ptr());
            Bound::from_owned_ptr_or_err(py, made)
        }
    }
}

impl<'py> Part<'py> {
    fn new(recall: &'py Bound<'py, PyAny>, telling: Option<&'static str>) -> Self {
        Part { recall, text: Vec::new(), value: None, telling, told: Vec::new() }
    }

    /// Have the value of a text; false if it is refused.
    fn find(&mut self, text: &[u8], refused: &Bound<'py, PyAny>) -> PyResult<bool> {
        if self.value.is_some() && self.text == text {
            return Ok(true);
        }
        let py = self.recall.py();
        let value = match self.recall.call1((PyBytes::new(py, text),)) {
            Ok(value) => value,
            Err(error) if error.matches(py, refused)? => return Ok(false),
            Err(error) => return Err(error),
        };
        if let Some(name) = self.telling {
            let told = value.getattr(name)?;
            self.told.clear();
            if !told.is_none() {
                self.told.extend_from_slice(told.cast::<PyString>()?.to_str()?.as_bytes());
            }
        }
        self.text.clear();
        self.text.extend_from_slice(text);
        self.value = Some(value);
        Ok(true)
    }

    fn found(&self) -> Bound<'py, PyAny> {
        self.value.clone().unwrap_or_else(|| self.recall.py().None().into_bound(self.recall.py()))
    }
}

impl<'py> Moment<'py> {
    fn new(py: Python<'py>) -> Self {
        Moment { text: Vec::new(), whole: None, value: py.None().into_bound(py) }
    }

    fn of(&mut self, py: Python<'py>, value: Plain, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        match value {
            Plain::Null => return Ok(py.None().into_bound(py)),
            Plain::Double(number) => return Ok(PyFloat::new(py, number).into_any()),
            Plain::Whole(number) => {
                if self.whole != Some(number) {
                    self.value = PyInt::new(py, number).into_any();
                    self.whole = Some(number);
                    self.text.clear();
                }
            }
            Plain::Text(span) => {
                if self.whole.is_some() || self.text.is_empty() || self.text != span.of(text) {
                    self.value = string(py, span, text)?;
                    self.whole = None;
                    self.text.clear();
                    self.text.extend_from_slice(span.of(text));
                }
            }
        }
        Ok(self.value.clone())
    }
}

fn string<'py>(py: Python<'py>, span: Span, text: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(PyString::from_bytes(py, span.of(text))?.into_any())
}

/// The identity of an event, as `bridge.model.identities` has it: `texts` are mid, eid, actor and did.
fn digest<'py>(py: Python<'py>, ets: f64, texts: [&[u8]; 4], scratch: &mut Vec<u8>) -> Bound<'py, PyBytes> {
    scratch.clear();
    scratch.extend_from_slice(&(ets + 0.0).to_le_bytes());
    for text in texts {
        // Characters, not bytes: all bytes but those that continue one.
        let characters = text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count();
        scratch.extend_from_slice(&u32::try_from(characters).unwrap_or(u32::MAX).to_le_bytes());
    }
    for text in texts {
        scratch.extend_from_slice(text);
    }
    PyBytes::new(py, &xxh3_128(scratch).to_be_bytes())
}
