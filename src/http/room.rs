//! The room in which a connection's bytes stand between the network and the HTTP library.
//!
//! The library has buffers of its own, which fill themselves with zeros when they are first used and again for every
//! read: half of all that this program does in a run. These are taken from the system as they are, zero already, and what
//! has stood in them, tokens among it, is wiped in the end.

use ureq::unversioned::transport::Buffers;
use zeroize::Zeroize;

/// What is read and not yet used, and what is about to be sent. Nothing is taken from the system before it is needed.
pub(super) struct Room {
    input_size: usize,
    output_size: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    /// From here on the input has not been used.
    consumed: usize,
    /// Up to here there is input.
    filled: usize,
    /// Up to here input has ever stood.
    touched: usize,
    /// Up to here output has ever been sent from.
    sent: usize,
    has_progress: bool,
}

impl Room {
    /// Room for this many bytes of input and of output.
    pub(super) fn new(input_size: usize, output_size: usize) -> Self {
        Self {
            input_size,
            output_size,
            input: Vec::new(),
            output: Vec::new(),
            consumed: 0,
            filled: 0,
            touched: 0,
            sent: 0,
            has_progress: false,
        }
    }

    fn open(&mut self) {
        if self.input.is_empty() {
            self.input = vec![0; self.input_size];
            self.output = vec![0; self.output_size];
        }
    }

    /// What is to be sent.
    pub(super) fn outgoing(&mut self, amount: usize) -> &[u8] {
        self.sent = self.sent.max(amount);
        self.output.get(..amount).unwrap_or_default()
    }

    /// The free end of the input. What has been used makes place when little is left.
    fn free(&mut self) -> std::ops::RangeFrom<usize> {
        if self.consumed == self.filled {
            (self.consumed, self.filled) = (0, 0);
        } else if self.consumed > 0 && self.filled > self.input.len() / 2 {
            self.input.copy_within(self.consumed..self.filled, 0);
            self.filled -= self.consumed;
            self.consumed = 0;
        }
        self.filled..
    }
}

impl Buffers for Room {
    fn output(&mut self) -> &mut [u8] {
        self.open();
        &mut self.output
    }

    fn input(&self) -> &[u8] {
        self.input.get(self.consumed..self.filled).unwrap_or_default()
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.open();
        let free = self.free();
        self.input.get_mut(free).unwrap_or_default()
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.open();
        let free = self.free();
        (self.input.get_mut(free).unwrap_or_default(), &mut self.output)
    }

    fn input_appended(&mut self, amount: usize) {
        self.filled = self.filled.saturating_add(amount).min(self.input.len());
        self.touched = self.touched.max(self.filled);
    }

    fn input_consume(&mut self, amount: usize) {
        self.has_progress = amount > 0;
        self.consumed = self.consumed.saturating_add(amount).min(self.filled);
    }

    fn can_use_input(&self) -> bool {
        self.has_progress && self.consumed < self.filled
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for (bytes, used) in [(&mut self.input, self.touched), (&mut self.output, self.sent)] {
            bytes.get_mut(..used).unwrap_or_default().zeroize();
        }
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Room")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes in in whatever pieces, and is used in whatever pieces, comes out in order.
        #[test]
        fn nothing_is_lost_or_repeated(pieces in prop::collection::vec((0_usize..40, 0_usize..40), 1..60)) {
            let mut room = Room::new(32, 8);
            let (mut next_in, mut next_out) = (0_u8, 0_u8);
            for (put, take) in pieces {
                let free = room.input_append_buf();
                let put = put.min(free.len());
                for byte in &mut free[..put] {
                    *byte = next_in;
                    next_in = next_in.wrapping_add(1);
                }
                room.input_appended(put);
                let take = take.min(room.input().len());
                for byte in &room.input()[..take] {
                    prop_assert_eq!(*byte, next_out);
                    next_out = next_out.wrapping_add(1);
                }
                room.input_consume(take);
                prop_assert_eq!(room.can_use_input(), take > 0 && next_in != next_out);
                prop_assert_eq!(room.input().len(), usize::from(next_in.wrapping_sub(next_out)));
            }
        }
    }

    #[test]
    fn a_full_room_has_no_place_until_something_is_used() {
        let mut room = Room::new(4, 4);
        assert_eq!(room.input_append_buf().len(), 4);
        room.input_appended(4);
        assert!(room.input_append_buf().is_empty());
        room.input_consume(3);
        assert_eq!(room.input_append_buf().len(), 3);
        room.output()[..2].copy_from_slice(b"ab");
        assert_eq!(room.outgoing(2), b"ab");
        assert_eq!(room.outgoing(5), b"", "more than there is room for");
    }

    #[test]
    fn nothing_is_taken_before_it_is_needed() {
        let room = Room::new(1 << 20, 1 << 20);
        assert_eq!((room.input.capacity(), room.output.capacity()), (0, 0));
        assert!(!room.can_use_input() && room.input().is_empty());
    }
}
