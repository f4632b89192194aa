//! What the events of a page are called and what their `edata` says, each by the form of its type.

use std::collections::HashMap;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::buffer::View;
use crate::form::Form;

/// A type of event: what stands for it in two columns, and the form of its `edata`, None if nothing is told of it.
struct Known {
    eid: Py<PyString>,
    name: Py<PyBytes>,
    piece: Py<PyBytes>,
    form: Option<Py<Form>>,
}

/// The events of one type that are named by words of their `edata`: where they stand, and the words.
struct Named<'py> {
    places: Vec<usize>,
    columns: Vec<Bound<'py, PyList>>,
}

/// A type as Python gives it.
type Given = (Py<PyBytes>, Py<PyBytes>, Option<Py<Form>>);
/// Columns of names, types and members; by type the events that have words, and these; and what is left.
type Told<'py> = (
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Vec<(Py<PyString>, Vec<usize>, Vec<Bound<'py, PyList>>)>,
    Vec<usize>,
);

/// Tells of events by the forms of their types.
#[pyclass(frozen, module = "bridge_native")]
pub struct Teller {
    known: Vec<Known>,
    places: HashMap<String, usize>,
}

#[pymethods]
impl Teller {
    /// `types` has for each eid its name, its piece of the properties, and its form.
    #[new]
    fn new(types: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut known = Vec::new();
        let mut places = HashMap::new();
        for (eid, given) in types {
            let eid = eid.cast_into::<PyString>()?;
            let (name, piece, form): Given = given.extract()?;
            places.insert(eid.to_str()?.to_owned(), known.len());
            known.push(Known { eid: eid.unbind(), name, piece, form });
        }
        Ok(Teller { known, places })
    }

    /// The columns of some events; of those that are `left`, the last, nothing is said (None stands for them).
    fn tell<'py>(&self, py: Python<'py>, events: &Bound<'py, PyList>) -> PyResult<Told<'py>> {
        let events = events.to_tuple(); // whatever Python code does to the list
        let (names, pieces, ends) = (PyList::empty(py), PyList::empty(py), PyList::empty(py));
        let mut named: Vec<Option<Named<'py>>> = self.known.iter().map(|_| None).collect();
        let mut left = Vec::new();
        let (mut found, mut out) = (Vec::new(), Vec::with_capacity(512));
        for (index, event) in events.iter_borrowed().enumerate() {
            let Some(place) = self.place(&event.getattr(intern!(py, "eid"))?)? else {
                left.push(index);
                for column in [&names, &pieces, &ends] {
                    column.append(py.None())?;
                }
                continue;
            };
            let known = &self.known[place];
            names.append(&known.name)?;
            pieces.append(&known.piece)?;
            let Some(form) = &known.form else {
                ends.append(PyBytes::new(py, b""))?; // of which Python has but one
                continue;
            };
            let form = form.get();
            let text = event.getattr(intern!(py, "edata_text"))?;
            let words = match View::of(&text) {
                Some(view) => form.one(py, view.bytes(), &mut found, &mut out)?,
                None => None,
            };
            let Some(words) = words else {
                left.push(index);
                ends.append(py.None())?;
                continue;
            };
            ends.append(PyBytes::new(py, &out))?;
            if !words.is_empty() {
                let named = named[place].get_or_insert_with(|| Named::new(py, words.len()));
                named.places.push(index);
                for (column, word) in named.columns.iter().zip(words) {
                    column.append(word)?;
                }
            }
        }
        let named = self
            .known
            .iter()
            .zip(named)
            .filter_map(|(known, named)| named.map(|named| (known.eid.clone_ref(py), named.places, named.columns)));
        Ok((names, pieces, ends, named.collect(), left))
    }
}

impl Teller {
    /// The place of a type; mostly it is the very text that was given for it.
    fn place(&self, eid: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
        if let Some(place) = self.known.iter().position(|known| known.eid.as_ptr() == eid.as_ptr()) {
            return Ok(Some(place));
        }
        Ok(self.places.get(eid.cast::<PyString>()?.to_str()?).copied())
    }
}

impl<'py> Named<'py> {
    fn new(py: Python<'py>, words: usize) -> Self {
        Named { places: Vec::new(), columns: (0..words).map(|_| PyList::empty(py)).collect() }
    }
}
