//! PostHog events put together: a head, and what stands in some columns behind it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList};

use crate::heads::Heads;

/// What stands in one place of every payload: pieces, one each, or the same piece in all.
#[derive(FromPyObject)]
pub enum Column<'py> {
    Each(Bound<'py, PyList>),
    All(Bound<'py, PyBytes>),
}

/// A payload for each digest (16 bytes) and time (ms since the epoch), and the indices of those with a backslash.
#[pyfunction]
pub fn joined<'py>(
    py: Python<'py>,
    digests: &Bound<'py, PyList>,
    times: &Bound<'py, PyList>,
    columns: Vec<Column<'py>>,
) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
    let lengths = columns.iter().filter_map(|column| match column {
        Column::Each(pieces) => Some(pieces.len()),
        Column::All(_) => None,
    });
    for length in lengths.chain([times.len()]) {
        if length != digests.len() {
            return Err(PyValueError::new_err(format!("{} digests, a column of {length}", digests.len())));
        }
    }
    let (payloads, mut escaped) = (PyList::empty(py), Vec::new());
    let (mut heads, mut pieces) = (Heads::new(), Vec::with_capacity(columns.len()));
    for (index, (digest, time)) in digests.iter().zip(times).enumerate() {
        let time: i64 = time.cast::<PyInt>()?.extract()?;
        let Some(head) = heads.of(digest.cast::<PyBytes>()?.as_bytes().try_into()?, time) else {
            return Err(PyValueError::new_err(format!("{time} is beyond the calendar")));
        };
        pieces.clear();
        for column in &columns {
            pieces.push(match column {
                Column::Each(pieces) => pieces.get_item(index)?.cast_into::<PyBytes>()?,
                Column::All(piece) => piece.clone(),
            });
        }
        let payload = payload(py, &head, &pieces)?;
        if memchr::memchr(b'\\', payload.as_bytes()).is_some() {
            escaped.push(index);
        }
        payloads.append(payload)?;
    }
    Ok((payloads, escaped))
}

fn payload<'py>(py: Python<'py>, head: &[u8], pieces: &[Bound<'py, PyBytes>]) -> PyResult<Bound<'py, PyBytes>> {
    let length = head.len() + pieces.iter().map(|piece| piece.as_bytes().len()).sum::<usize>();
    PyBytes::new_with(py, length, |mut rest| {
        for piece in std::iter::once(head).chain(pieces.iter().map(|piece| piece.as_bytes())) {
            let (place, behind) = rest.split_at_mut(piece.len());
            place.copy_from_slice(piece);
            rest = behind;
        }
        Ok(())
    })
}
