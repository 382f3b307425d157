//! Structs that grow: `struct_size` says how much of one the caller knows.
//!
//! They are read and written unaligned: other languages lay them out in byte buffers.

use std::mem::{size_of, zeroed};

use crate::failure::{Result, invalid};

/// No later version of any that is read will be larger. A `struct_size` beyond is rubbish, and must not be read up to.
const MAX: usize = 4096;

/// A struct of this library: plain numbers and pointers, of which all zeros is a value, that begins with its size.
///
/// # Safety
/// The type is `repr(C)`, begins with a `usize`, and any bytes are a value of it.
pub(crate) unsafe trait Versioned: Copy {}

/// The `struct_size` of what is not NULL, if it is at least that of the first release.
///
/// # Safety
/// `at` is NULL or points to a `usize`.
pub(crate) unsafe fn check_size<T>(name: &'static str, at: *const T, least: usize) -> Result<usize> {
    if at.is_null() {
        return Err(invalid(name, format!("{name} is NULL")));
    }
    // SAFETY: by this function's contract.
    let size = unsafe { at.cast::<usize>().read_unaligned() };
    if size < least {
        return Err(invalid(name, format!("the struct_size of {name} is {size}; was its _INIT used?")));
    }
    Ok(size)
}

/// A copy of the part of a struct that this version knows. What an older program does not have is zero; what a newer one
/// has beyond must be zero, so that nothing asked for is ignored in silence.
///
/// # Safety
/// `at` is NULL or points to a `struct_size` and as many readable bytes as that says.
pub(crate) unsafe fn known_part<T: Versioned>(name: &'static str, at: *const T, least: usize) -> Result<T> {
    let known = size_of::<T>();
    // SAFETY: by this function's contract.
    let size = unsafe { check_size(name, at, least) }?;
    if size > MAX {
        return Err(invalid(name, format!("the struct_size of {name} is {size}; was its _INIT used?")));
    }
    // Members are appended in words of eight bytes: a size between two cuts one.
    if size < known && size % size_of::<u64>() != 0 {
        return Err(invalid(name, format!("the struct_size of {name} is {size}, which ends within a member")));
    }
    // SAFETY: within `size` bytes, by this function's contract.
    let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), size) };
    if bytes.get(known..).is_some_and(|unknown| unknown.iter().any(|&byte| byte != 0)) {
        return Err(invalid(
            name,
            format!("the struct_size of {name} is {size}, with members unknown to this version"),
        ));
    }
    // SAFETY: all zeros is a value of every `Versioned`.
    let mut copy: T = unsafe { zeroed() };
    let common = size.min(known);
    // SAFETY: both sides have so many bytes, and any bytes are a value of a `Versioned`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut copy).cast::<u8>(), common) };
    Ok(copy)
}
