//! How many messages are under way at once, so that their bytes are bounded.

/// Bytes of bodies that are under way.
const MOST_BYTES: u64 = 32 << 20;
/// Where nothing is known of a queue's messages.
const FIRST: u16 = 16;
/// What it grows by at most: the next messages may be larger than the last ones.
const GROWTH: u16 = 4;

/// The number of messages that are asked for at once.
#[derive(Debug)]
pub(super) struct Window {
    most: u16,
    size: u16,
}

impl Window {
    /// At most `most`, for messages of so many bytes in the mean; 0 where that is not known.
    pub(super) fn new(most: u16, mean_bytes: u64) -> Self {
        let size = if mean_bytes == 0 { FIRST } else { fitting(mean_bytes) };
        Self { most, size: size.clamp(1, most) }
    }

    pub(super) fn size(&self) -> u16 {
        self.size
    }

    /// Learns from what came.
    pub(super) fn learn(&mut self, messages: usize, bytes: u64) {
        let Some(mean) = bytes.checked_div(u64::try_from(messages).unwrap_or(u64::MAX)) else { return };
        self.size = fitting(mean.max(1)).min(self.size.saturating_mul(GROWTH)).clamp(1, self.most);
    }
}

fn fitting(bytes: u64) -> u16 {
    u16::try_from(MOST_BYTES / bytes.max(1)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_messages_come_one_by_one_and_small_ones_by_the_hundred() {
        assert_eq!(Window::new(500, 16 << 20).size(), 2);
        assert_eq!(Window::new(500, 64 << 20).size(), 1);
        assert_eq!(Window::new(500, 100).size(), 500);
    }

    #[test]
    fn a_window_grows_by_and_by_and_shrinks_at_once() {
        let mut window = Window::new(500, 0);
        let mut sizes = vec![window.size()];
        for bytes in [1600, 6400, 25_600, 500 << 20] {
            window.learn(usize::from(window.size()), bytes);
            sizes.push(window.size());
        }
        assert_eq!(sizes, [16, 64, 256, 500, 32]);
        window.learn(0, 0);
        assert_eq!(window.size(), 32);
    }
}
