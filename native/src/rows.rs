//! Many pieces as one text: what a request holds before it is compressed.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buffer::Room;

/// A piece for each row, or one for all of them.
pub enum Column<'py> {
    Same(Bound<'py, PyBytes>),
    Each(Vec<Bound<'py, PyBytes>>),
}

/// Write the pieces of `columns` row by row and say how many bytes they are; nothing is written where they do not fit.
#[pyfunction]
pub fn join(into: &Bound<'_, PyAny>, columns: Vec<Bound<'_, PyAny>>) -> PyResult<usize> {
    let columns = columns.iter().map(Column::of).collect::<PyResult<Vec<_>>>()?;
    let rows = columns.iter().find_map(Column::rows).unwrap_or(0);
    if columns.iter().filter_map(Column::rows).any(|other| other != rows) {
        return Err(PyValueError::new_err("the columns differ in length"));
    }
    let size = columns.iter().map(|column| column.size(rows)).sum();
    let Some(mut room) = Room::of(into) else {
        return Err(PyValueError::new_err("nothing can be written there"));
    };
    let mut room = room.bytes();
    if size <= room.len() {
        for row in 0..rows {
            for column in &columns {
                room = put(room, column.piece(row));
            }
        }
    }
    Ok(size)
}

/// Write a piece and give what room is left.
pub fn put<'a>(room: &'a mut [u8], piece: &[u8]) -> &'a mut [u8] {
    let (taken, left) = room.split_at_mut(piece.len());
    taken.copy_from_slice(piece);
    left
}

impl<'py> Column<'py> {
    pub fn of(given: &Bound<'py, PyAny>) -> PyResult<Column<'py>> {
        match given.cast::<PyList>() {
            Ok(pieces) => Ok(Column::Each(pieces.iter().map(|piece| Ok(piece.cast_into()?)).collect::<PyResult<_>>()?)),
            Err(_) => Ok(Column::Same(given.clone().cast_into()?)),
        }
    }

    pub fn rows(&self) -> Option<usize> {
        match self {
            Column::Same(_) => None,
            Column::Each(pieces) => Some(pieces.len()),
        }
    }

    fn size(&self, rows: usize) -> usize {
        match self {
            Column::Same(piece) => rows * piece.as_bytes().len(),
            Column::Each(pieces) => pieces.iter().map(|piece| piece.as_bytes().len()).sum(),
        }
    }

    pub fn piece(&self, row: usize) -> &[u8] {
        match self {
            Column::Same(piece) => piece.as_bytes(),
            Column::Each(pieces) => pieces[row].as_bytes(),
        }
    }
}
