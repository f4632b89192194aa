//! A text cut into its lines.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// The lines of a text without their newlines, and what stands behind the last newline.
#[pyfunction]
pub fn lines<'py>(py: Python<'py>, text: &Bound<'py, PyBytes>) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyBytes>)> {
    let (lines, mut rest) = (PyList::empty(py), text.as_bytes());
    while let Some(end) = memchr::memchr(b'\n', rest) {
        lines.append(PyBytes::new(py, &rest[..end]))?;
        rest = &rest[end + 1..];
    }
    Ok((lines, PyBytes::new(py, rest)))
}
