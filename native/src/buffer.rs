//! The bytes of a Python object that has some: `bytes`, a piece of JSON that msgspec has left as it is, or memory to
//! write to.

use std::ffi::c_int;
use std::mem::MaybeUninit;

use pyo3::ffi;
use pyo3::prelude::*;

/// Bytes that stay where they are until this is dropped.
pub struct View {
    buffer: ffi::Py_buffer,
}

impl View {
    /// None if the object has no bytes to show.
    pub fn of(object: &Bound<'_, PyAny>) -> Option<View> {
        View::new(object, ffi::PyBUF_SIMPLE)
    }

    fn new(object: &Bound<'_, PyAny>, flags: c_int) -> Option<View> {
        let mut buffer = MaybeUninit::uninit();
        // SAFETY: the interpreter is held, since `object` is bound; on success the buffer is filled in.
        unsafe {
            if ffi::PyObject_GetBuffer(object.as_ptr(), buffer.as_mut_ptr(), flags) != 0 {
                ffi::PyErr_Clear();
                return None;
            }
            Some(View { buffer: buffer.assume_init() })
        }
    }

    pub fn bytes(&self) -> &[u8] {
        if self.buffer.len == 0 {
            return &[];
        }
        // SAFETY: a simple buffer is `len` bytes in one piece, and not released before the view is dropped; its
        // owners (`bytes`, `msgspec.Raw`) do not change.
        unsafe { std::slice::from_raw_parts(self.buffer.buf.cast::<u8>(), self.buffer.len.unsigned_abs()) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the buffer was filled in, and the view is used under the interpreter's lock only.
        unsafe { ffi::PyBuffer_Release(&raw mut self.buffer) }
    }
}

/// Memory to write to, which stays where it is until this is dropped.
pub struct Room {
    view: View,
}

impl Room {
    /// None if the object's bytes are not to be changed, or it has none.
    pub fn of(object: &Bound<'_, PyAny>) -> Option<Room> {
        Some(Room { view: View::new(object, ffi::PyBUF_WRITABLE)? })
    }

    /// Nothing that runs Python code may be called as long as this is borrowed.
    pub fn bytes(&mut self) -> &mut [u8] {
        if self.view.buffer.len == 0 {
            return &mut [];
        }
        // SAFETY: as for a view; a writable buffer is nobody else's `bytes`, and others write to it under the
        // interpreter's lock only.
        unsafe {
            std::slice::from_raw_parts_mut(self.view.buffer.buf.cast::<u8>(), self.view.buffer.len.unsigned_abs())
        }
    }
}
