//! The toy as an engine of bitparity, in Rust: the standard library and nothing else.
use std::ffi::{c_char, c_int, c_void};
use std::{ptr, slice};

#[link(name = "toy", kind = "static")]
extern "C" {
    fn toy_open(path: *const c_char, positions: c_int, error: *mut c_char, size: usize) -> *mut c_void;
    fn toy_step(engine: *mut c_void, token: c_int, position: c_int, logits: *mut f32);
    fn toy_n_vocab(engine: *const c_void) -> c_int;
    fn toy_close(engine: *mut c_void);
}

pub struct Session {
    engine: *mut c_void,
    n_vocab: usize,
}

impl Session {
    /// One row of logits a token.
    fn forward(&mut self, ids: &[i32], position: i32, logits: &mut [f32]) {
        for (i, (row, id)) in logits.chunks_exact_mut(self.n_vocab).zip(ids).enumerate() {
            unsafe { toy_step(self.engine, *id, position + i as i32, row.as_mut_ptr()) }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        unsafe { toy_close(self.engine) }
    }
}

#[no_mangle]
pub unsafe extern "C" fn bitparity_open(
    gguf: *const c_char, context: i32, _threads: i32, _device: i32, error: *mut c_char, size: usize,
) -> *mut Session {
    let engine = toy_open(gguf, context, error, size);
    if engine.is_null() {
        return ptr::null_mut();
    }
    Box::into_raw(Box::new(Session { engine, n_vocab: toy_n_vocab(engine) as usize }))
}

#[no_mangle]
pub unsafe extern "C" fn bitparity_n_vocab(session: *const Session) -> i32 {
    (*session).n_vocab as i32
}

#[no_mangle]
pub unsafe extern "C" fn bitparity_forward(
    session: *mut Session, ids: *const i32, n: i32, position: i32, logits: *mut f32,
) -> i32 {
    let (session, n) = (&mut *session, n as usize);
    let logits = slice::from_raw_parts_mut(logits, n * session.n_vocab);
    session.forward(slice::from_raw_parts(ids, n), position, logits);
    0
}

#[no_mangle]
pub unsafe extern "C" fn bitparity_close(session: *mut Session) {
    drop(Box::from_raw(session));
}
