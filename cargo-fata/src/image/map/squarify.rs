//! Rectangles by size, as near to squares as they come: Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000).

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rect {
    /// Left.
    pub x: f64,
    /// Top.
    pub y: f64,
    /// Width.
    pub w: f64,
    /// Height.
    pub h: f64,
}

impl Rect {
    fn area(&self) -> f64 {
        self.w * self.h
    }

    /// What is left inside a margin, and a headline at the top.
    pub fn inside(&self, margin: f64, head: f64) -> Self {
        Self {
            x: self.x + margin,
            y: self.y + margin + head,
            w: (self.w - 2.0 * margin).max(0.0),
            h: (self.h - 2.0 * margin - head).max(0.0),
        }
    }
}

/// Fills a rectangle with one for each size, in order; sizes should come the largest first.
pub fn layout(sizes: &[u64], within: Rect) -> Vec<Rect> {
    let total: u64 = sizes.iter().sum();
    if total == 0 {
        return vec![Rect { w: 0.0, h: 0.0, ..within }; sizes.len()];
    }
    let scale = within.area() / total as f64;
    let areas: Vec<f64> = sizes.iter().map(|size| *size as f64 * scale).collect();
    let (mut rects, mut free, mut rest) = (Vec::new(), within, &areas[..]);
    while !rest.is_empty() {
        let side = free.w.min(free.h);
        let mut len = 1;
        while len < rest.len() && worst(&rest[..=len], side) <= worst(&rest[..len], side) {
            len += 1;
        }
        free = place(&rest[..len], free, &mut rects);
        rest = &rest[len..];
    }
    rects
}

/// The worst ratio of sides in a row along `side`.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let (largest, smallest) =
        row.iter().fold((0.0, f64::INFINITY), |(l, s): (f64, f64), a| (l.max(*a), s.min(*a)));
    (side * side * largest / (sum * sum)).max(sum * sum / (side * side * smallest))
}

/// Puts a row along the shorter side; gives what is left.
fn place(row: &[f64], free: Rect, rects: &mut Vec<Rect>) -> Rect {
    let sum: f64 = row.iter().sum();
    let side = free.w.min(free.h);
    let depth = if side > 0.0 { sum / side } else { 0.0 };
    let mut along = 0.0;
    let upright = free.w >= free.h;
    for area in row {
        let len = if depth > 0.0 { area / depth } else { 0.0 };
        rects.push(if upright {
            Rect { x: free.x, y: free.y + along, w: depth, h: len }
        } else {
            Rect { x: free.x + along, y: free.y, w: len, h: depth }
        });
        along += len;
    }
    if upright {
        Rect { x: free.x + depth, w: (free.w - depth).max(0.0), ..free }
    } else {
        Rect { y: free.y + depth, h: (free.h - depth).max(0.0), ..free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Rect = Rect { x: 10.0, y: 20.0, w: 600.0, h: 400.0 };

    #[test]
    fn the_papers_example() {
        let rects = layout(&[6, 6, 4, 3, 2, 2, 1], Rect { x: 0.0, y: 0.0, w: 6.0, h: 4.0 });
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        assert!(near(rects[0].w, 3.0) && near(rects[0].h, 2.0));
        assert!(near(rects[1].y, 2.0) && near(rects[2].x, 3.0));
    }

    #[test]
    fn areas_are_in_proportion_inside_and_apart() {
        let sizes: Vec<u64> = (1..60).rev().map(|n| n * n).collect();
        let rects = layout(&sizes, PAGE);
        let scale = PAGE.area() / sizes.iter().sum::<u64>() as f64;
        for (n, (rect, size)) in rects.iter().zip(&sizes).enumerate() {
            assert!((rect.area() - *size as f64 * scale).abs() < 1e-6);
            assert!(rect.x >= PAGE.x - 1e-6 && rect.x + rect.w <= PAGE.x + PAGE.w + 1e-6);
            assert!(rect.y >= PAGE.y - 1e-6 && rect.y + rect.h <= PAGE.y + PAGE.h + 1e-6);
            for other in &rects[..n] {
                let apart = |a: f64, al: f64, b: f64, bl: f64| a + al <= b + 1e-6 || b + bl <= a + 1e-6;
                assert!(
                    apart(rect.x, rect.w, other.x, other.w) || apart(rect.y, rect.h, other.y, other.h),
                    "{rect:?} {other:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_takes_no_place() {
        assert_eq!(layout(&[], PAGE), []);
        assert!(layout(&[0, 0], PAGE).iter().all(|rect| rect.area() == 0.0));
        assert_eq!(layout(&[5, 0], PAGE)[0].area(), PAGE.area());
        let thin = layout(&[3, 2], Rect { w: 0.0, ..PAGE });
        assert!(thin.iter().all(|rect| rect.area() == 0.0));
    }
}
