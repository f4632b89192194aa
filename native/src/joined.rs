//! PostHog events put together: a head, and what stands in some columns behind it.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyList};

use crate::heads::Heads;
use crate::rows::{Column, put};

/// A payload for each digest (16 bytes) and time (ms since the epoch), and the indices of those with a backslash.
#[pyfunction]
pub fn joined<'py>(
    py: Python<'py>,
    digests: &Bound<'py, PyList>,
    times: &Bound<'py, PyList>,
    columns: Vec<Bound<'py, PyAny>>,
) -> PyResult<(Bound<'py, PyList>, Vec<usize>)> {
    let columns = columns.iter().map(Column::of).collect::<PyResult<Vec<_>>>()?;
    for length in columns.iter().filter_map(Column::rows).chain([times.len()]) {
        if length != digests.len() {
            return Err(PyValueError::new_err(format!("{} digests, a column of {length}", digests.len())));
        }
    }
    let (payloads, mut escaped) = (PyList::empty(py), Vec::new());
    let mut heads = Heads::new();
    for (row, (digest, time)) in digests.iter().zip(times).enumerate() {
        let time: i64 = time.cast::<PyInt>()?.extract()?;
        let Some(head) = heads.of(digest.cast::<PyBytes>()?.as_bytes().try_into()?, time) else {
            return Err(PyValueError::new_err(format!("{time} is beyond the calendar")));
        };
        let payload = payload(py, &head, &columns, row)?;
        if memchr::memchr(b'\\', payload.as_bytes()).is_some() {
            escaped.push(row);
        }
        payloads.append(payload)?;
    }
    Ok((payloads, escaped))
}

fn payload<'py>(py: Python<'py>, head: &[u8], columns: &[Column<'py>], row: usize) -> PyResult<Bound<'py, PyBytes>> {
    let pieces = || std::iter::once(head).chain(columns.iter().map(|column| column.piece(row)));
    PyBytes::new_with(py, pieces().map(<[u8]>::len).sum(), |mut room| {
        for piece in pieces() {
            room = put(room, piece);
        }
        Ok(())
    })
}
