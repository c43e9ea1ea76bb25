//! CUBIC (RFC 9438): how the congestion window grows where there was congestion before. Windows are in segments.

use fata_libos::time::{Duration, Instant};

/// C of 4.2, segments per second cubed.
const C: f64 = 0.4;
/// What is left of the window after a loss (4.6).
pub(super) const BETA: f64 = 0.7;
/// The growth that makes a window with [`BETA`] as large as Reno's on average (4.3).
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cubic {
    /// The window just before the last reduction.
    w_max: f64,
    /// The window of the last reduction itself: until there Reno's estimate grows by [`ALPHA`].
    prior: f64,
    /// Seconds until the window is [`w_max`](Self::w_max) again.
    k: f64,
    w_est: f64,
    epoch: Option<Instant>,
    /// Since when the application has not filled the window.
    idle: Option<Instant>,
}

impl Cubic {
    /// Congestion was seen with this window: the one to go on with.
    pub(super) fn reduce(&mut self, window: f64) -> f64 {
        // Fast convergence (4.7): who shrinks leaves room for who came later.
        self.w_max = if window < self.w_max { window * (1.0 + BETA) / 2.0 } else { window };
        self.prior = window;
        self.epoch = None;
        window * BETA
    }

    /// The application leaves room in the window: time does not count (5.8).
    pub(super) fn pause(&mut self, now: Instant) {
        self.idle.get_or_insert(now);
    }

    /// The window after `acked` segments were acknowledged in congestion avoidance.
    pub(super) fn grow(&mut self, now: Instant, rtt: Duration, window: f64, acked: f64) -> f64 {
        if let (Some(since), Some(epoch)) = (self.idle.take(), &mut self.epoch) {
            *epoch += now.duration_since(since.max(*epoch));
        }
        let epoch = *self.epoch.get_or_insert_with(|| {
            if self.w_max < window {
                (self.w_max, self.k) = (window, 0.0);
            } else {
                self.k = cube_root((self.w_max - window) / C);
            }
            self.w_est = window;
            now
        });
        let alpha = if self.w_est < self.prior { ALPHA } else { 1.0 };
        self.w_est += alpha * acked / window;
        let elapsed = now.duration_since(epoch).as_secs_f64();
        if self.at(elapsed) < self.w_est {
            return self.w_est.max(window);
        }
        // Not `clamp`, whose panic brings all that prints a float into an image.
        let target = self.at(elapsed + rtt.as_secs_f64()).min(1.5 * window).max(window);
        window + (target - window) / window * acked
    }

    fn at(&self, seconds: f64) -> f64 {
        let t = seconds - self.k;
        C * t * t * t + self.w_max
    }
}

/// By Newton: `core` has none.
fn cube_root(x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let mut root = if x > 1.0 { x } else { 1.0 };
    for _ in 0..64 {
        let next = (2.0 * root + x / (root * root)) / 3.0;
        if next >= root {
            break;
        }
        root = next;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cube_roots() {
        for x in [0.0, 1e-6, 0.125, 1.0, 2.0, 27.0, 1e9] {
            assert!((cube_root(x) - x.cbrt()).abs() < 1e-9 * x.max(1.0), "{x}");
        }
    }

    /// The window after so many seconds without loss on a path of 100 ms, one acknowledgement a segment.
    fn after(seconds: f64, w_max: f64) -> f64 {
        let mut cubic = Cubic::default();
        let mut window = cubic.reduce(w_max);
        let rtt = Duration::from_millis(100);
        let mut now = Instant::default();
        let end = now + Duration::from_secs_f64(seconds);
        while now < end {
            window = cubic.grow(now, rtt, window, 1.0);
            now += rtt.div_f64(window);
        }
        window
    }

    #[test]
    fn it_is_concave_up_to_the_old_window_and_convex_beyond() {
        // K = cbrt(1000 * 0.3 / 0.4) = 9.09 s.
        assert!((after(0.0, 1000.0) - 700.0).abs() < 1.0);
        assert!((after(4.0, 1000.0) - (C * (4.0f64 - 9.086).powi(3) + 1000.0)).abs() < 10.0);
        assert!((after(9.0, 1000.0) - 1000.0).abs() < 5.0);
        assert!((after(15.0, 1000.0) - (C * (15.0f64 - 9.086).powi(3) + 1000.0)).abs() < 15.0);
    }

    #[test]
    fn it_is_no_slower_than_reno_on_a_short_path() {
        let mut cubic = Cubic::default();
        let mut window = cubic.reduce(20.0);
        let rtt = Duration::from_millis(1);
        let mut now = Instant::default();
        for _ in 0..100 {
            for _ in 0..window as usize {
                window = cubic.grow(now, rtt, window, 1.0);
            }
            now += rtt;
        }
        // Reno's estimate: alpha a round until the old window, then one.
        assert!(window > 14.0 + 100.0 * ALPHA, "{window}");
    }

    #[test]
    fn time_without_data_does_not_count() {
        let mut cubic = Cubic::default();
        let rtt = Duration::from_millis(100);
        let start = Instant::default() + rtt;
        let window = cubic.reduce(100.0);
        let grown = cubic.grow(start, rtt, window, 1.0);
        cubic.pause(start);
        let later = cubic.grow(start + Duration::from_secs(100), rtt, grown, 1.0);
        assert!(later < grown + 1.0, "{later}");
    }

    #[test]
    fn the_second_reduction_in_a_row_leaves_more_room() {
        let mut cubic = Cubic::default();
        cubic.reduce(100.0);
        cubic.reduce(80.0);
        assert!((cubic.w_max - 68.0).abs() < 1e-9);
    }
}
