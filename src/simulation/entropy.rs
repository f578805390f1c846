//! The one source of randomness: on a thread that simulates, it follows from the seed.
//!
//! The order of a `HashMap`, the branch that `select!` tries first, election timeouts and identities all begin with the
//! operating system's `getrandom`. This takes its place in the programs that this crate is linked into: whatever code asks,
//! ours or not, gets the same bytes again for the same seed. It is the only unsafe code here, as a symbol of the C library
//! cannot be given otherwise. Linux only; elsewhere a seed is not replayed exactly.

use std::{
    cell::RefCell,
    ffi::{c_uint, c_void},
};

use ferrymq_testkit::Chance;

thread_local! {
    static CHANCE: RefCell<Option<Chance>> = const { RefCell::new(None) };
}

/// From now on, all that is random on this thread follows from the seed. To be called before anything else on a thread.
pub(crate) fn follow(seed: u64) {
    CHANCE.set(Some(Chance::new(seed)));
}

/// Bytes that follow from the seed; nothing where this thread does not simulate.
fn bytes(length: usize) -> Option<Vec<u8>> {
    CHANCE
        .try_with(|chance| {
            let mut chance = chance.try_borrow_mut().ok()?;
            let chance = chance.as_mut()?;
            Some((0..length).map(|_| chance.any() as u8).collect())
        })
        .ok()
        .flatten()
}

/// The C library's `getrandom`.
///
/// # Safety
///
/// As there: `length` bytes at `buffer` can be written.
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "a symbol of the C library is replaced")]
#[unsafe(no_mangle)]
#[allow(unreachable_pub, reason = "for the linker")]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    match bytes(length) {
        Some(bytes) => {
            // SAFETY: the caller says that so many bytes can be written there, and a new vector is elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), length) };
            isize::try_from(length).unwrap_or(isize::MAX)
        }
        // SAFETY: these are the arguments that the system call takes.
        None => unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize },
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    fn drawn(seed: u64) -> (u64, String) {
        let draw = move || {
            follow(seed);
            (RandomState::new().hash_one(1), uuid::Uuid::new_v4().to_string())
        };
        std::thread::spawn(draw).join().unwrap()
    }

    #[test]
    fn what_is_random_follows_from_the_seed() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1).0, drawn(2).0);
        assert_ne!(drawn(1).1, drawn(2).1);
    }
}
