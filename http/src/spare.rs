//! Buffers between two uses: what idle and ended connections give back serves the next request of any of them, so that in
//! the usual case a request allocates nothing. One of each kind is kept; requests under way at the same time have their own.

use crate::head::Head;
use crate::io::Input;
use alloc::vec::Vec;
use core::cell::Cell;

/// The largest output buffer that is kept, octets: that of a head and a small content.
const MAX_OUTPUT: usize = 2048;

/// See the module.
#[derive(Default)]
pub(crate) struct Spare {
    output: Cell<Vec<u8>>,
    input: Cell<Input>,
    head: Cell<Head>,
}

impl Spare {
    pub(crate) fn take_output(&self) -> Vec<u8> {
        self.output.take()
    }

    pub(crate) fn take_input(&self) -> Input {
        self.input.take()
    }

    pub(crate) fn take_head(&self) -> Head {
        self.head.take()
    }

    /// Keeps an output buffer that is empty.
    pub(crate) fn keep_output(&self, buffer: Vec<u8>) {
        if (1..=MAX_OUTPUT).contains(&buffer.capacity()) {
            self.output.set(buffer);
        }
    }

    /// Keeps what a connection that ends has read with.
    pub(crate) fn keep_input(&self, mut input: Input, mut head: Head) {
        input.forget();
        input.shrink();
        self.input.set(input);
        head.shrink();
        self.head.set(head);
    }
}
