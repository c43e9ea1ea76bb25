//! The calls that led here, by frame pointers.

use super::image;
use core::arch::asm;
use core::fmt;

/// Calls shown at most.
const MAX_DEPTH: usize = 48;

/// Return addresses from a frame pointer upwards. Its `Display` is a line each, `  at 0xffffffff80101234`, which the tool
/// (`cargo fata`) completes with the function's name.
#[derive(Clone, Copy, Debug)]
pub struct Backtrace {
    first: Option<usize>,
    frame: usize,
}

/// The calls that led to the caller.
#[inline(always)]
pub fn backtrace() -> Backtrace {
    let frame: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, rbp", out(reg) frame, options(nomem, nostack, preserves_flags)) };
    Backtrace { first: None, frame }
}

impl Backtrace {
    /// The calls that led to the instruction at `rip`, with the registers that were there.
    pub(crate) fn from_registers(rip: usize, rbp: usize) -> Self {
        Self { first: Some(rip), frame: rbp }
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(rip) = self.first {
            writeln!(f, "  at {rip:#018x}")?;
        }
        let mut frame = self.frame;
        for _ in 0..MAX_DEPTH {
            let Some((caller, return_address)) = read_frame(frame) else { break };
            writeln!(f, "  at {return_address:#018x}")?;
            if caller <= frame {
                break;
            }
            frame = caller;
        }
        Ok(())
    }
}

/// The caller's frame and the return address, where the frame lies in the stack and the address in the code.
fn read_frame(frame: usize) -> Option<(usize, usize)> {
    let stack = image::stack();
    let inside = stack.start <= frame && frame + 16 <= stack.end && frame.is_multiple_of(8);
    if !inside {
        return None;
    }
    let words = frame as *const usize;
    // SAFETY: both words lie in the stack, which is mapped.
    let (caller, address) = unsafe { (words.read_volatile(), words.add(1).read_volatile()) };
    image::text().contains(&address).then_some((caller, address))
}
