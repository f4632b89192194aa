//! What the events of a page are called and what their `edata` says, each by the form of its type.

use std::collections::HashMap;

use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};

use crate::buffer::View;
use crate::form::Form;
use crate::values::Found;

/// A type of event: what stands for it in two columns, the form of its `edata`, None if nothing is told of it,
/// and what names an event by its source and the form's words: a pure function, with a memory and without.
struct Known {
    eid: Py<PyString>,
    name: Py<PyBytes>,
    piece: Py<PyBytes>,
    form: Option<Py<Form>>,
    namer: Option<(Py<PyAny>, Py<PyAny>)>,
}

/// A type as Python gives it.
type Given = (Py<PyBytes>, Py<PyBytes>, Option<Py<Form>>, Option<(Py<PyAny>, Py<PyAny>)>);
/// Columns of names, types and members, and what is left.
type Told<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Vec<usize>);

/// Tells of events by the forms of their types.
#[pyclass(frozen, module = "bridge_native")]
pub struct Teller {
    known: Vec<Known>,
    places: HashMap<String, usize>,
    small: usize,
}

#[pymethods]
impl Teller {
    /// `types` has for each eid its name, its piece of the properties, its form, and what names it. Names of
    /// events of up to `small` bytes are asked of the function with a memory.
    #[new]
    fn new(types: &Bound<'_, PyDict>, small: usize) -> PyResult<Self> {
        let mut known = Vec::new();
        let mut places = HashMap::new();
        for (eid, given) in types {
            let eid = eid.cast_into::<PyString>()?;
            let (name, piece, form, namer): Given = given.extract()?;
            places.insert(eid.to_str()?.to_owned(), known.len());
            known.push(Known { eid: eid.unbind(), name, piece, form, namer });
        }
        Ok(Teller { known, places, small })
    }

    /// The columns of some events, each of which has a setting; of those that are `left`, the last, nothing is
    /// said (None stands for them).
    fn tell<'py>(
        &self,
        py: Python<'py>,
        events: &Bound<'py, PyList>,
        settings: &Bound<'py, PyList>,
    ) -> PyResult<Told<'py>> {
        let (events, settings) = (events.to_tuple(), settings.to_tuple()); // whatever Python code does to the lists
        if events.len() != settings.len() {
            return Err(PyValueError::new_err(format!("{} events, {} settings", events.len(), settings.len())));
        }
        let (names, pieces, ends) = (PyList::empty(py), PyList::empty(py), PyList::empty(py));
        let mut left = Vec::new();
        let (mut found, mut end) = (Vec::new(), Vec::with_capacity(512));
        for (index, (event, setting)) in events.iter_borrowed().zip(settings.iter_borrowed()).enumerate() {
            if let Some(place) = self.place(&event.getattr(intern!(py, "eid"))?)? {
                let known = &self.known[place];
                end.clear();
                if let Some(name) = self.one(known, &event, &setting, &mut found, &mut end)? {
                    names.append(name)?;
                    pieces.append(&known.piece)?;
                    ends.append(PyBytes::new(py, &end))?;
                    continue;
                }
            }
            left.push(index);
            for column in [&names, &pieces, &ends] {
                column.append(py.None())?;
            }
        }
        Ok((names, pieces, ends, left))
    }
}

impl Teller {
    /// The name of an event, with its members written to `end`; None if nothing is said of it.
    fn one<'py>(
        &self,
        known: &Known,
        event: &Bound<'py, PyAny>,
        setting: &Bound<'py, PyAny>,
        found: &mut Vec<Option<Found>>,
        end: &mut Vec<u8>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let py = event.py();
        let name = known.name.bind(py).clone();
        let Some(form) = &known.form else {
            return Ok(Some(name));
        };
        let (raw, held) = (event.getattr(intern!(py, "raw"))?, event.getattr(intern!(py, "edata_held"))?);
        let view = View::of(if held.is_exact_instance_of::<PyInt>() { &raw } else { &held });
        let text = match (&view, held.cast_exact::<PyInt>()) {
            (Some(view), Ok(place)) => place_in(view.bytes(), place.extract()?),
            (view, _) => view.as_ref().map(View::bytes),
        };
        let Some(text) = text else {
            return Ok(None);
        };
        let Some(mut words) = form.get().one(py, text, found, end)? else {
            return Ok(None);
        };
        let Some((kept, tell)) = &known.namer else {
            return Ok(Some(name));
        };
        let small = raw.len()? <= self.small;
        let source = setting.getattr(intern!(py, "source"))?;
        words.insert(0, source);
        let named = (if small { kept } else { tell }).bind(py).call1(PyTuple::new(py, words)?)?;
        let (name, properties): (Bound<'_, PyBytes>, Bound<'_, PyBytes>) = named.extract()?;
        let members = end.len();
        end.extend_from_slice(properties.as_bytes());
        end.rotate_left(members);
        Ok(Some(name))
    }

    /// The place of a type; mostly it is the very text that was given for it.
    fn place(&self, eid: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        if let Some(place) = self.known.iter().position(|known| known.eid.as_ptr() == eid.as_ptr()) {
            return Ok(Some(place));
        }
        Ok(self.places.get(eid.cast::<PyString>()?.to_str()?).copied())
    }
}

/// The text between two places, given as one number; `bridge.model.Event` says how.
fn place_in(raw: &[u8], place: u64) -> Option<&[u8]> {
    let (start, end) = (place >> 32, place & u64::from(u32::MAX));
    raw.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
