//! Header fields, a line at a time (RFC 9112 section 5). Strict where leniency has let requests be smuggled: lines end in
//! CRLF, none is folded, no blank stands before a colon.

use crate::Status;
use crate::head::Span;
use crate::octets::Class;

/// A line of the header section.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A field, its value without the blanks around it; the next line starts at `end`.
    Field { name: Span, value: Span, end: usize },
    /// The empty line; content starts at `end`.
    Last { end: usize },
}

/// Reads the line that starts at `start`; `None` while it has not ended.
pub(crate) fn line(input: &[u8], start: usize) -> Result<Option<Line>, Status> {
    if input.get(start) == Some(&b'\r') {
        return Ok(line_end(input, start)?.map(|end| Line::Last { end }));
    }
    let colon = start + Class::TOKEN.run(&input[start..]);
    match input.get(colon) {
        None => return Ok(None),
        Some(b':') if colon > start => {}
        Some(_) => return Err(Status::BAD_REQUEST),
    }
    let after = &input[colon + 1..];
    let text = &after[..Class::VALUE.run(after)];
    let Some(end) = line_end(input, colon + 1 + text.len())? else { return Ok(None) };
    let blanks = text.iter().take_while(|b| is_blank(b)).count();
    let value = colon + 1 + blanks;
    let len = text[blanks..].iter().rposition(|b| !is_blank(b)).map_or(0, |last| last + 1);
    Ok(Some(Line::Field { name: Span::new(start, colon), value: Span::new(value, value + len), end }))
}

/// Behind the CRLF that must stand at `at`; `None` while it is not whole.
fn line_end(input: &[u8], at: usize) -> Result<Option<usize>, Status> {
    match input[at..] {
        [b'\r', b'\n', ..] => Ok(Some(at + 2)),
        [] | [b'\r'] => Ok(None),
        _ => Err(Status::BAD_REQUEST),
    }
}

fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Option<(&str, &str)>, Status> {
        Ok(line(text.as_bytes(), 0)?.map(|line| match line {
            Line::Field { name, value, end } => {
                assert_eq!(end, text.len());
                let part = |s: Span| &text[usize::from(s.start)..usize::from(s.end)];
                (part(name), part(value))
            }
            Line::Last { end } => {
                assert_eq!(end, text.len());
                ("", "")
            }
        }))
    }

    #[test]
    fn lines() {
        for (text, name, value) in [
            ("\r\n", "", ""),
            ("a:\r\n", "a", ""),
            ("a: \t \r\n", "a", ""),
            ("A-b:c\r\n", "A-b", "c"),
            ("a: \t b  c\t \r\n", "a", "b  c"),
            ("a: \u{e9}:\r\n", "a", "\u{e9}:"),
        ] {
            assert_eq!(split(text), Ok(Some((name, value))), "{text:?}");
            for end in 0..text.len() {
                let whole = text.is_char_boundary(end);
                assert!(!whole || split(&text[..end]) == Ok(None), "{:?}", &text[..end]);
            }
        }
    }

    #[test]
    fn what_is_no_line() {
        for text in [
            "\n",
            "\r\r",
            "\ra",
            ":a\r\n",
            "a :b\r\n",
            " a:b\r\n",
            "a\r\n",
            "a\n",
            "a:b\n",
            "a:b\rc",
            "a:\0\r\n",
            "a:\x7f",
            "(a):b\r\n",
            "\u{e9}:b\r\n",
        ] {
            assert_eq!(split(text), Err(Status::BAD_REQUEST), "{text:?}");
        }
    }
}
